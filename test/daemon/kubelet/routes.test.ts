import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attributesOf } from '../../../daemon/kubelet/access.ts';
import { RouteError, parseRoute, providerPath, type PodRoute } from '../../../daemon/kubelet/routes.ts';

const test = suite('routes of the kubelet API');

const good: [string, string, string][] = [
  [
    'GET',
    '/containerLogs/shop/web/main?follow=true&tailLines=5&evil=1',
    '/api/v1/namespaces/shop-home/pods/web/log?follow=true&tailLines=5&container=main',
  ],
  [
    'GET',
    '/containerLogs/shop/web/main?sinceTime=2026-01-01T00%3A00%3A00Z&timestamps=true&previous=false&limitBytes=10&stream=Stderr',
    '/api/v1/namespaces/shop-home/pods/web/log?timestamps=true&limitBytes=10&sinceTime=2026-01-01T00%3A00%3A00Z&stream=Stderr&container=main',
  ],
  [
    'POST',
    '/exec/shop/web/main?command=sh&command=-c&command=echo+%26%3D&input=1&output=1&tty=1',
    '/api/v1/namespaces/shop-home/pods/web/exec?stdin=true&stdout=true&tty=true&stderr=false&command=sh&command=-c&command=echo+%26%3D&container=main',
  ],
  [
    'GET',
    '/attach/shop/web/0f1e-uid/main?output=1&error=1',
    '/api/v1/namespaces/shop-home/pods/web/attach?stdout=true&stderr=true&container=main',
  ],
  ['POST', '/portForward/shop/web', '/api/v1/namespaces/shop-home/pods/web/portforward'],
  [
    'GET',
    '/portForward/shop/web/uid-1?port=80&port=443',
    '/api/v1/namespaces/shop-home/pods/web/portforward?ports=80&ports=443',
  ],
];
for (const [method, target, expected] of good) {
  test(`${method} ${target}`, () => {
    const route = parseRoute(method, target) as PodRoute;
    assert.is(route.namespace, 'shop');
    assert.is(providerPath(route, 'shop-home', 'web'), expected);
  });
}

const bad: [string, string, number][] = [
  ['GET', '/', 404],
  ['GET', '/run/shop/web/main', 404],
  ['GET', '/containerLogs/shop/web', 400],
  ['GET', '/containerLogs/shop/web/main/more/parts', 404],
  ['POST', '/containerLogs/shop/web/main', 405],
  ['DELETE', '/exec/shop/web/main?command=ls&output=1', 405],
  ['GET', '/containerLogs/..%2fkube-system/web/main', 400],
  ['GET', '/containerLogs/shop/web%2f..%2f../main', 400],
  ['GET', '/containerLogs/shop/web/main?tailLines=-1', 400],
  ['GET', '/containerLogs/shop/web/main?tailLines=1e9', 400],
  ['GET', '/containerLogs/shop/web/main?follow=perhaps', 400],
  ['GET', '/containerLogs/shop/web/main?sinceTime=yesterday', 400],
  ['POST', '/exec/shop/web/main?output=1', 400],
  ['POST', '/exec/shop/web/main?command=ls', 400],
  ['POST', '/exec/shop/web/main?command=ls&tty=1', 400],
  ['POST', `/exec/shop/web/main?output=1&command=${'x'.repeat(40_000)}`, 400],
  ['POST', `/exec/shop/web/main?output=1&${'command=x&'.repeat(1025)}`, 400],
  ['GET', '/portForward/shop/web?port=0', 400],
  ['GET', '/portForward/shop/web?port=80;rm', 400],
  ['POST', '/pods', 405],
  ['GET', '/containerLogs/%E0%A4%A/web/main', 400],
];
for (const [method, target, status] of bad) {
  test(`${method} ${target.slice(0, 60)} → ${status}`, () => {
    try {
      parseRoute(method, target);
      assert.unreachable();
    } catch (error) {
      assert.instance(error, RouteError);
      assert.is((error as RouteError).status, status);
    }
  });
}

test('dot segments in a path are resolved before routing', () => {
  assert.is(parseRoute('GET', '/containerLogs/shop/../../pods').kind, 'Pods');
});

test('exec needs create for any method; reading needs get', () => {
  const needs = (method: string, target: string) =>
    attributesOf(parseRoute(method, target)).map((each) => `${each.verb} ${each.subresource}`);
  assert.equal(needs('GET', '/exec/shop/web/main?command=ls&output=1'), ['create proxy']);
  assert.equal(needs('GET', '/portForward/shop/web?port=1'), ['create proxy']);
  assert.equal(needs('GET', '/attach/shop/web/main?output=1'), ['create proxy']);
  assert.equal(needs('GET', '/containerLogs/shop/web/main'), ['get proxy']);
  assert.equal(needs('GET', '/pods'), ['get pods', 'get proxy']);
  assert.equal(needs('GET', '/stats/summary'), ['get stats']);
  assert.equal(needs('GET', '/metrics/resource'), ['get metrics']);
});

test.run();
