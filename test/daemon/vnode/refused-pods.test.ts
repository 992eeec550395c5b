/** Pods that a provider refuses after binding: which are failed, and when. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Pod } from '../../../daemon/kube/index.ts';
import {
  createRefusedPods,
  mostFailed,
  nodesRefusing,
  planRefused,
  refusedStatus,
  type RefusedPod,
} from '../../../daemon/vnode/refused-pods.ts';

const test = suite('refused pods');

const fail = { fail: true } as const;
const later = (againAfter: number) => ({ fail: false, againAfter });
const table: [what: string, RefusedPod, ReturnType<typeof planRefused>][] = [
  ['what is never admitted', { reason: 'FieldNotAllowed', failedBefore: 0, refusedFor: 0 }, fail],
  ['… by its security level', { reason: 'PodSecurity', failedBefore: 0, refusedFor: 0 }, fail],
  ['the second one', { reason: 'Malformed', failedBefore: 1, refusedFor: 0 }, later(10_000)],
  ['… when it is due', { reason: 'Malformed', failedBefore: 1, refusedFor: 10_000 }, fail],
  ['the fourth one', { reason: 'Malformed', failedBefore: 3, refusedFor: 1_000 }, later(39_000)],
  ['the eighth one', { reason: 'Malformed', failedBefore: 8, refusedFor: 0 }, later(300_000)],
  ['one too many', { reason: 'Malformed', failedBefore: mostFailed, refusedFor: 10 ** 9 }, { fail: false }],
  ['no room for now', { reason: 'QuotaExceeded', failedBefore: 0, refusedFor: 5_000 }, later(40_000)],
  ['no room, for long', { reason: 'QuotaExceeded', failedBefore: 0, refusedFor: 45_000 }, fail],
  ['another admission there', { reason: 'NotAdmitted', failedBefore: 0, refusedFor: 0 }, later(45_000)],
  ['cordoned there', { reason: 'Cordoned', failedBefore: 0, refusedFor: 50_000 }, fail],
  ['no room for its record', { reason: undefined, failedBefore: 0, refusedFor: 50_000 }, fail],
  ['its predecessor ends', { reason: 'Preparing', failedBefore: 0, refusedFor: 10 ** 9 }, { fail: false }],
];
for (const [what, refused, expected] of table)
  test(what, () => {
    assert.equal(planRefused(refused), expected);
  });

const pod = (uid: string, owner: string | undefined, status: Pod['status'] = { phase: 'Pending' }): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: uid,
    uid,
    ...(owner !== undefined && {
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true },
      ],
    }),
  },
  spec: { containers: [] },
  status,
});

/** A ReplicaSet whose pods are all bound to a node that refuses them, reconciled as often as requested, for a day. */
function simulate(replicas: number, reason: string): { failed: number; atOnce: number } {
  let now = 0;
  const refused = createRefusedPods(() => now);
  const pods: Pod[] = [];
  let made = 0;
  const isFailed = (each: Pod) => each.status?.phase === 'Failed';
  const refill = () => {
    while (pods.filter((each) => !isFailed(each)).length < replicas) pods.push(pod(`p${made++}`, 'rs'));
  };
  let atOnce = 0;
  for (; now < 86_400_000; now += 60_000) {
    refill();
    for (const each of pods) {
      if (isFailed(each)) continue;
      if (refused.plan(each, reason, pods).fail)
        Object.assign(each, { status: { phase: 'Failed', reason: 'RefusedByProvider' } });
    }
    if (now === 0) atOnce = pods.filter(isFailed).length;
  }
  return { failed: pods.filter(isFailed).length, atOnce };
}
test('of forty replicas one is failed at once and ten in a day', () => {
  assert.equal(simulate(40, 'FieldNotAllowed'), { atOnce: 1, failed: mostFailed });
  assert.equal(simulate(40, 'QuotaExceeded'), { atOnce: 0, failed: mostFailed });
});

test('two decisions before the cache shows the first count as two', () => {
  const refused = createRefusedPods(() => 0);
  const siblings = [pod('a', 'rs'), pod('b', 'rs')];
  assert.ok(refused.plan(siblings[0]!, 'Malformed', siblings).fail);
  assert.equal(refused.plan(siblings[1]!, 'Malformed', siblings), later(10_000));
});

test('pods of another owner and pods without an owner do not delay each other', () => {
  const refused = createRefusedPods(() => 0);
  const failed = { phase: 'Failed', reason: 'RefusedByProvider' };
  const siblings = [pod('a', 'one', failed), pod('b', 'other'), pod('c', undefined), pod('d', undefined)];
  for (const each of siblings.slice(1)) assert.ok(refused.plan(each, 'Malformed', siblings).fail);
});

test('a pod that was admitted meanwhile is refused from then on', () => {
  let now = 0;
  const refused = createRefusedPods(() => now);
  const one = pod('a', 'rs');
  assert.equal(refused.plan(one, 'QuotaExceeded', [one]), later(45_000));
  now = 40_000;
  refused.forget(one);
  assert.equal(refused.plan(one, 'QuotaExceeded', [one]), later(45_000));
});

test('the next pod of an owner gets the nodes that refused the others', () => {
  const failed = { phase: 'Failed', reason: 'RefusedByProvider' };
  const on = (each: Pod, nodeName: string): Pod => ({ ...each, spec: { containers: [], nodeName } });
  const others = [
    on(pod('a', 'rs', failed), 'hawser-b'),
    on(pod('b', 'rs', failed), 'hawser-a'),
    on(pod('c', 'rs', failed), 'hawser-a'),
    on(pod('d', 'rs'), 'hawser-c'),
    on(pod('e', 'rs', { phase: 'Failed', reason: 'Evicted' }), 'hawser-d'),
    on(pod('f', 'other', failed), 'hawser-e'),
    on(pod('g', undefined, failed), 'hawser-f'),
  ];
  assert.equal(nodesRefusing(pod('next', 'rs'), others), ['hawser-a', 'hawser-b']);
  assert.equal(nodesRefusing(pod('next', undefined), others), []);
});

test('the status equals that of a pod rejected by a kubelet: Failed, with reason and message', () => {
  const waiting = { phase: 'Pending', reason: 'RefusedByProvider', message: 'why', conditions: [] };
  assert.equal(refusedStatus(waiting), { ...waiting, phase: 'Failed' });
});
test.run();
