import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  countedOwn,
  fullCounts,
  mostTwins,
  objectsFinding,
  ownCounts,
  tenantCounts,
  twinCounts,
} from '../../../daemon/tenant/object-limits.ts';
import { isBeyondLimit } from '../../../daemon/tenant/twin-namespaces.ts';
import type { ResourceQuota } from '../../../daemon/kube/index.ts';
import { defaultGrant } from '../../../shared/api/grant.ts';
import type { TwinNamespace } from '../../../shared/api/offloading.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';

const countable = new Set(ownCounts);
const peering = { metadata: { name: 'elm' }, spec: { remoteCluster: 'elm' } } as unknown as IncomingPeering;
const quota = (namespace: string, hard: Record<string, string>, used: Record<string, string>) =>
  ({ metadata: { name: 'hawser-objects', namespace }, status: { hard, used } }) as unknown as ResourceQuota;

test('limits of objects grow with the grant, between a floor and a cap', () => {
  const table: [pods: number, shadowPods: string, secrets: string, services: string, twins: number][] = [
    [1, '64', '64', '48', 16],
    [64, '256', '256', '128', 64],
    [110, '440', '440', '220', 110],
    [400, '1600', '1600', '800', 256],
    [100_000, '20000', '4000', '1000', 256],
  ];
  for (const [pods, shadowPods, secrets, services, twins] of table) {
    const grant = { ...defaultGrant, pods };
    const counts = twinCounts(grant, countable);
    assert.is(counts['count/shadowpods.hawser.dev'], shadowPods, `${pods} pods`);
    assert.is(counts['count/secrets'], secrets, `${pods} pods`);
    assert.is(counts['count/services'], services, `${pods} pods`);
    assert.is(mostTwins(grant), twins, `${pods} pods`);
    assert.is(tenantCounts(grant, countable)['count/twinnamespaces.hawser.dev'], String(twins));
    assert.is(tenantCounts(grant, countable)['count/leases.coordination.k8s.io'], '2');
  }
});

test('the remainder is shared among twin namespaces, so that more namespaces do not raise the total', () => {
  const grant = { ...defaultGrant, pods: 1 };
  const services = (own: number | undefined, others: number[]) =>
    twinCounts(
      grant,
      countable,
      own === undefined ? undefined : quota('own', {}, { 'count/services': String(own) }),
      others.map((used, index) => quota(`n${index}`, {}, { 'count/services': String(used) })),
    )['count/services'];
  const table: [own: number | undefined, others: number[], hard: string][] = [
    [undefined, [], '48'],
    [0, [0, 0], '16'],
    [16, [0, 0], '27'],
    [0, [16, 0], '11'],
    [20, [20, 8], '20'],
    [3, [100], '3'],
  ];
  for (const [own, others, hard] of table)
    assert.is(services(own, others), hard, `${own} beside ${others.join()}`);
  // A consumer that repeatedly fills each of sixteen namespaces, one after the other.
  const used = Array.from({ length: 16 }, () => 0);
  for (let round = 0; round < 20; round++) {
    for (const index of used.keys())
      used[index] = Number(
        services(
          used[index],
          used.filter((_, other) => other !== index),
        ),
      );
  }
  assert.is(
    used.reduce((sum, each) => sum + each),
    48,
  );
});

test('kinds that Kubernetes cannot count yet are left out, since it would refuse all their objects', () => {
  const left = { ...twinCounts(defaultGrant, new Set()), ...tenantCounts(defaultGrant, new Set()) };
  assert.not.ok(Object.keys(left).some((name) => ownCounts.includes(name)));
  assert.ok(left['count/secrets']);
  const one = ownCounts[0] ?? '';
  assert.equal(countedOwn(undefined), []);
  assert.equal(countedOwn(quota('a', { [one]: '0' }, {})), []);
  assert.equal(countedOwn(quota('a', { [one]: '0' }, { [one]: '0', 'count/secrets': '1' })), [one]);
});

test('reached limits are named', () => {
  const half = quota('a', { 'count/secrets': '10', pods: '2' }, { 'count/secrets': '5', pods: '2' });
  const full = quota(
    'b',
    { 'count/secrets': '10', 'count/x': '0' },
    { 'count/secrets': '12', 'count/x': '0' },
  );
  assert.equal(fullCounts(half), []);
  assert.equal(fullCounts(full), [['secrets', '10']]);
  assert.is(objectsFinding(peering, [half]).status, 'True');
  const finding = objectsFinding(peering, [half, full]);
  assert.is(finding.status, 'False');
  assert.is(finding.reason, 'ObjectsExhausted');
  assert.match(
    finding.message,
    /^b has reached its limit of 10 secrets: further objects of elm are refused until/,
  );
  const many = Array.from({ length: 8 }, (_, index) =>
    quota(`n${index}`, { 'count/secrets': '1' }, { 'count/secrets': '1' }),
  );
  assert.match(
    objectsFinding(peering, many).message,
    /n4 has reached its limit of 1 secrets and 3 more: further/,
  );
});

test('suspended rights are reported before everything else', () => {
  const granted = { ...peering, spec: { ...peering.spec, grant: { ...defaultGrant, pods: 64 } } };
  assert.match(
    objectsFinding(granted, [], ['Bytes']).message,
    /of elm have more than 32 MiB: it may write none/,
  );
  assert.is(objectsFinding(granted, [], ['Endpoints']).reason, 'EndpointsRestrained');
});

test('of too many twins the oldest and the bound ones stay', () => {
  const twin = (name: string, second: number, bound = false) =>
    ({
      metadata: { name, creationTimestamp: `2026-01-01T00:00:0${second}Z` },
      ...(bound && { status: { namespace: name } }),
    }) as unknown as TwinNamespace;
  const all = [twin('a', 3, true), twin('b', 1), twin('c', 2)];
  assert.equal(
    all.map((each) => isBeyondLimit(each, all, 2)),
    [false, false, true],
  );
  assert.equal(
    all.map((each) => isBeyondLimit(each, all, 3)),
    [false, false, false],
  );
});

test.run();
