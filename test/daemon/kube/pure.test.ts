/** The decisions of daemon/kube that need no API server. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { backoff } from '../../../shared/time.ts';
import { mayTake } from '../../../daemon/kube/leader.ts';
import { logLine } from '../../../shared/log.ts';
import { createQueue } from '../../../daemon/kube/queue.ts';
import { collectionPath, keyOf, kind, kindOf, objectPath, splitKey } from '../../../shared/kube/refs.ts';
import { applyStatus, stableText } from '../../../daemon/kube/status.ts';
import { kinds } from '../../../shared/api/kinds.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import { nextCondition, ownConditions, setCondition, turnedConditions } from '../../../shared/conditions.ts';
import type { Condition } from '../../../shared/api/meta.ts';

const refs = suite('references to objects');
refs('refs have the group, version and plural of the kinds’ schemas', () => {
  for (const each of kinds) {
    const found = kindOf({ apiVersion, kind: each.kind });
    assert.equal(
      { plural: found.plural, namespaced: found.namespaced },
      { plural: each.plural, namespaced: each.scope === 'Namespaced' },
    );
  }
  assert.throws(() => kindOf({ apiVersion: 'v1', kind: 'Nothing' }), /refs\.ts/);
});
refs('paths are those of the Kubernetes API', () => {
  assert.is(collectionPath(kind.pod), '/api/v1/pods');
  assert.is(collectionPath(kind.pod, 'a'), '/api/v1/namespaces/a/pods');
  assert.is(collectionPath(kind.node, 'a'), '/api/v1/nodes');
  assert.is(
    objectPath({ kind: kind.shadowPod, namespace: 'a', name: 'b' }, 'status'),
    '/apis/hawser.dev/v1alpha1/namespaces/a/shadowpods/b/status',
  );
  assert.is(objectPath({ kind: kind.node, name: '../x?y' }), '/api/v1/nodes/..%2Fx%3Fy');
  assert.throws(() => objectPath({ kind: kind.pod, name: 'b' }), TypeError);
});
refs('keys round-trip', () => {
  assert.is(keyOf({ metadata: { name: 'b', namespace: 'a' } }), 'a/b');
  assert.equal(splitKey('a/b'), { namespace: 'a', name: 'b' });
  assert.equal(splitKey('b'), { namespace: undefined, name: 'b' });
});
refs.run();

const queues = suite('work queue');
const make = (limit?: number) =>
  createQueue({
    baseMilliseconds: 100,
    mostMilliseconds: 1000,
    random: () => 1,
    ...(limit !== undefined && { limit }),
  });
queues('a key is queued once and processed by one worker at a time', () => {
  const queue = make();
  queue.add('a', 0);
  queue.add('a', 0);
  assert.is(queue.take(0), 'a');
  assert.is(queue.take(0), undefined);
  queue.add('a', 1);
  assert.is(queue.take(1), undefined);
  queue.done('a', 'succeeded', 2);
  assert.is(queue.take(2), 'a');
  queue.done('a', 'succeeded', 3);
  assert.is(queue.take(3), undefined);
  assert.is(queue.nextDue(), undefined);
});
queues('failures back off exponentially until a success', () => {
  const queue = make();
  const pauses: number[] = [];
  let now = 0;
  queue.add('a', now);
  for (let round = 0; round < 6; round++) {
    assert.is(queue.take(now), 'a');
    queue.done('a', 'failed', now);
    const due = queue.nextDue() ?? Number.NaN;
    pauses.push(due - now);
    now = due;
  }
  assert.equal(pauses, [100, 200, 400, 800, 1000, 1000]);
  queue.take(now);
  queue.done('a', 'succeeded', now);
  assert.is(queue.failures('a'), 0);
});
queues('a Retry-After of the server is respected', () => {
  const queue = make();
  queue.add('a', 0);
  queue.take(0);
  queue.done('a', 'failed', 0, 5000);
  assert.is(queue.nextDue(), 5000);
});
queues('the earlier of two due times counts', () => {
  const queue = make();
  queue.addAt('a', 1000);
  queue.addAt('a', 500);
  queue.addAt('a', 2000);
  assert.is(queue.take(499), undefined);
  assert.is(queue.take(500), 'a');
});
queues('keys come in the order of their due times, and a full queue counts dropped keys', () => {
  const queue = make(2);
  queue.addAt('late', 20);
  queue.addAt('soon', 10);
  queue.add('more', 0);
  assert.is(queue.dropped, 1);
  assert.is(queue.take(30), 'soon');
  assert.is(queue.take(30), 'late');
});
queues('a change during a failing reconcile does not cause a busy loop', () => {
  const queue = make();
  queue.add('a', 0);
  queue.take(0);
  queue.add('a', 0);
  queue.done('a', 'failed', 0);
  assert.is(queue.take(99), undefined);
  assert.is(queue.take(100), 'a');
});
queues.run();

const leases = suite('leader election');
const lease = (holderIdentity: string | null) => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'l' },
  spec: { holderIdentity, leaseDurationSeconds: 10 },
});
const seen = { resourceVersion: '1', at: 1000 };
const table: [string, Parameters<typeof mayTake>, boolean][] = [
  ['there is none', [undefined, 'me', undefined, 15, 0], true],
  ['it has no holder', [lease(''), 'me', undefined, 15, 0], true],
  ['I have it', [lease('me'), 'me', undefined, 15, 0], true],
  ['another has it, seen first just now', [lease('you'), 'me', undefined, 15, 0], false],
  ['another has it, and renewed in time', [lease('you'), 'me', seen, 15, 10_999], false],
  ['another has it, and did not renew', [lease('you'), 'me', seen, 15, 11_000], true],
];
for (const [what, input, expected] of table) leases(what, () => assert.is(mayTake(...input), expected));
leases.run();

const others = suite('backoff, log lines and stable text');
others('backoff - after any number of failures - stays in its bounds', () => {
  assert.is(backoff(0, { base: 100, random: () => 0 }), 50);
  assert.is(backoff(3, { base: 100, random: () => 1 }), 800);
  assert.is(backoff(1000, { base: 100, most: 5000, random: () => 1 }), 5000);
  assert.is(backoff(-1, { base: 100, random: () => 1 }), 100);
});
others('log lines - with fields named like secrets - hold none of their values', () => {
  const line = logLine(0, 'info', 'm', {
    token: 'abc',
    privateKey: 'abc',
    nested: { data: { a: 'abc' }, Authorization: 'abc', kept: 1 },
    error: new Error('it failed'),
    message: 'not this',
  });
  assert.not.ok(line.includes('abc'));
  assert.equal(JSON.parse(line), {
    time: '1970-01-01T00:00:00.000Z',
    level: 'info',
    message: 'm',
    token: '[not logged]',
    privateKey: '[not logged]',
    nested: { data: '[not logged]', Authorization: '[not logged]', kept: 1 },
    error: 'it failed',
  });
});
others('stable text - of equal content in another order - is equal', () => {
  assert.is(stableText({ b: 1, a: { d: [2, 1], c: undefined } }), stableText({ a: { d: [2, 1] }, b: 1 }));
});
others('a status is written only when it changed', async () => {
  const written: unknown[] = [];
  const kube = { apply: (object: unknown) => (written.push(object), Promise.resolve(object as never)) };
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'n', uid: 'u', generation: 3 },
  };
  const finding = { type: 'Ready', status: 'True' as const, reason: 'R', message: 'm' };
  const write = (status?: unknown) =>
    applyStatus(
      {
        kube: kube as never,
        fieldManager: 'hawser-test',
        object: { ...object, status },
        findings: [finding],
        fields: { a: 1, b: undefined },
        now: 0,
      },
      new AbortController().signal,
    );
  assert.ok(await write());
  const status = (written[0] as { status: unknown }).status;
  assert.equal(status, {
    observedGeneration: 3,
    a: 1,
    conditions: [{ ...finding, observedGeneration: 3, lastTransitionTime: '1970-01-01T00:00:00Z' }],
  });
  assert.not.ok(await write(status));
  assert.is(written.length, 1);
});
others.run();

const conditions = suite('conditions of objects');
const finding = { type: 'Ready', status: 'True' as const, reason: 'Good', message: 'all is well' };
const first: Condition = nextCondition(undefined, finding, 0);
conditions('an unchanged condition is the same object', () => {
  assert.is(nextCondition(first, finding, 9999), first);
  const list = [first];
  assert.is(setCondition(list, finding, 9999), list);
});
conditions('lastTransitionTime changes only with the status', () => {
  const said = nextCondition(first, { ...finding, message: 'still well' }, 5000);
  assert.is(said.lastTransitionTime, first.lastTransitionTime);
  const turned = nextCondition(first, { ...finding, status: 'False' }, 5000);
  assert.is(turned.lastTransitionTime, '1970-01-01T00:00:05Z');
});
conditions('only own conditions are written', () => {
  const theirs: Condition = { ...first, type: 'Other' };
  assert.equal(setCondition([theirs], finding, 0), [theirs, first]);
  assert.equal(ownConditions([theirs, first], [finding], 0), [first]);
});
conditions('transitions are distinguished from changed messages', () => {
  const said = nextCondition(first, { ...finding, message: 'still well' }, 0);
  assert.equal(turnedConditions([first], [said]), []);
  assert.equal(turnedConditions(undefined, [first]), [first]);
});
conditions.run();
