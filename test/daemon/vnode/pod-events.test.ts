import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ShadowPod } from '../../../shared/api/offloading.ts';
import type { Event } from '../../../daemon/kube/index.ts';
import { createEventBudget, homeEvent, type EventInput } from '../../../daemon/vnode/pod-events-plan.ts';
import { pod as podWith } from '../../support/objects.ts';

const test = suite('events of offloaded pods');
const now = Date.parse('2026-01-01T00:10:00Z');
const time = '2026-01-01T00:09:00Z';

const pod = podWith({ metadata: { uid: 'home-uid' }, status: { podIP: '10.128.1.4' } });
const shadow: ShadowPod = {
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'ShadowPod',
  metadata: { name: 'web', namespace: 'shop-home-abc123' },
  spec: { podUID: 'home-uid', pod: {} },
  status: { podUID: 'real-uid', pod: { podIP: '10.244.1.4' } },
};
const event = (more: Record<string, unknown> = {}): Event =>
  ({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'web.17', namespace: 'shop-home-abc123', uid: 'event-uid', creationTimestamp: time },
    involvedObject: {
      kind: 'Pod',
      name: 'web',
      uid: 'real-uid',
      fieldPath: 'spec.containers{main}',
    },
    type: 'Warning',
    reason: 'Unhealthy',
    message: 'Readiness probe failed',
    count: 3,
    firstTimestamp: time,
    lastTimestamp: time,
    source: { component: 'kubelet', host: 'away-n1' },
    ...more,
  }) as Event;
const input = (given: Event, more: Partial<EventInput> = {}): EventInput => ({
  event: given,
  pod,
  shadow,
  peering: 'away-abc123',
  virtualNode: 'hawser-away-abc123',
  startedAt: now - 60_000,
  now,
  ...more,
});

test('a kubelet’s event becomes an event of the pod at home, with the virtual node’s kubelet as its source', () => {
  const made = homeEvent(input(event()));
  assert.equal(made?.involvedObject, {
    apiVersion: 'v1',
    kind: 'Pod',
    name: 'web',
    namespace: 'shop',
    uid: 'home-uid',
    fieldPath: 'spec.containers{main}',
  });
  assert.equal(made?.source, { component: 'kubelet', host: 'hawser-away-abc123' });
  assert.is(made?.type, 'Warning');
  assert.is(made?.reason, 'Unhealthy');
  assert.is(made?.count, 3);
  assert.match(made?.metadata.name ?? '', /^web\.[0-9a-f]{16}$/);
  assert.is(homeEvent(input(event({ count: 4 })))?.metadata.name, made?.metadata.name, 'one event stays one');
});

const left: [string, EventInput][] = [
  ['another pod of the namespace', input(event({ involvedObject: { kind: 'Pod', uid: 'other' } }))],
  ['not of a pod', input(event({ involvedObject: { kind: 'Service', uid: 'real-uid' } }))],
  ['of an earlier pod at home', input(event(), { pod: { ...pod, metadata: { ...pod.metadata, uid: 'x' } } })],
  ['of a controller of the provider’s', input(event({ source: { component: 'their-operator' } }))],
  ['which node it got', input(event({ reason: 'Scheduled', source: { component: 'default-scheduler' } }))],
  ['a reason that is a sentence', input(event({ reason: 'is \u001b[31m bad' }))],
  ['long before this process began', input(event({ lastTimestamp: '2025-12-31T00:00:00Z' }))],
  ['no time at all', input(event({ lastTimestamp: 'soon', metadata: { name: 'e' } }))],
];
for (const [name, given] of left) test(`left out: ${name}`, () => assert.is(homeEvent(given), undefined));

const messages: [name: string, theirs: string, ours: string][] = [
  ['the twin namespace', 'pod shop-home-abc123/web waits', 'pod shop/web waits'],
  ['the node', 'node away-n1 (away-n10) is full', 'node hawser-away-abc123 (away-n10) is full'],
  [
    'the address',
    'Get "http://10.244.1.4:80/": 10.244.1.40 refused by 10.244.1.4.',
    'Get "http://10.128.1.4:80/": 10.244.1.40 refused by 10.128.1.4.',
  ],
  ['control characters', 'red\u001b[31m text', 'red\\u001b[31m text'],
  ['its length', 'x'.repeat(5000), 'x'.repeat(1024)],
  ['a replacement pattern', 'away-n1 $& costs $1', 'hawser-away-abc123 $& costs $1'],
];
for (const [name, theirs, ours] of messages)
  test(`a message is translated for the consumer: ${name}`, () =>
    assert.is(homeEvent(input(event({ message: theirs })))?.message, ours));

test('of one pod 25 events are written at once, then one every ten seconds, independent of other pods', () => {
  let at = 0;
  const allowed = createEventBudget(() => at);
  const taken = (podUID: string, asked: number) =>
    Array.from({ length: asked }, () => allowed(podUID)).filter(Boolean).length;
  assert.is(taken('one', 100), 25);
  assert.is(taken('other', 3), 3);
  at += 30_000;
  assert.is(taken('one', 100), 3);
  at -= 20_000;
  assert.is(taken('one', 100), 0, 'a clock that is set back gives nothing');
});

test.run();
