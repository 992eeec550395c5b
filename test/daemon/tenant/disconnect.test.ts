/** When a consumer counts as disconnected, and what happens to its pods then. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Lease } from '../../../daemon/kube/index.ts';
import { evaluatePresence, observe, planDisconnect } from '../../../daemon/tenant/disconnect.ts';
import { planPod, type PodAction } from '../../../daemon/vnode/pod-plan.ts';
import { desiredShadowPod } from '../../../daemon/vnode/shadow-pod.ts';
import type { Condition } from '../../../shared/api/meta.ts';
import type { ShadowPod } from '../../../shared/api/offloading.ts';
import { annotations } from '../../../shared/names.ts';
import { condition as conditionWith, pod as podWith } from '../../support/objects.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const lease = (renewTime: string, more: Lease['spec'] = {}): Lease => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'hawser-consumer', namespace: 'hawser-tenant-home' },
  spec: { holderIdentity: 'home', leaseDurationSeconds: 40, renewTime, ...more },
});
const condition = (status: Condition['status'], since = start) =>
  conditionWith('ConsumerPresent', status, { since: new Date(since).toISOString() });

const presence = suite('presence of a consumer');
const statusOf = (
  observed: Parameters<typeof evaluatePresence>[2],
  before: Condition | undefined,
  now: number,
  of: Lease | undefined = lease('a'),
) => evaluatePresence('home', of, observed, before, now).finding.status;

presence('is derived only from renewals and from this clock', () => {
  // The consumer's clock is in another year; only changes of the text count.
  const first = observe(lease('1999-01-01T00:00:00Z'), undefined, start);
  assert.is(first?.renewed, false);
  assert.is(observe(lease('1999-01-01T00:00:00Z'), first, start + 30_000), first, 'no renewal, no news');
  const second = observe(lease('1999-01-01T00:00:10Z'), first, start + 30_000);
  assert.equal(second, { renewTime: '1999-01-01T00:00:10Z', at: start + 30_000, renewed: true });
  assert.is(statusOf(second, undefined, start + 60_000), 'True');
  assert.is(statusOf(second, condition('True'), start + 70_001), 'False');
});
presence('after a restart an existing lease proves neither presence nor absence', () => {
  const seen = observe(lease('a'), undefined, start);
  assert.is(statusOf(seen, condition('True'), start + 39_000), 'True');
  assert.is(statusOf(seen, condition('True'), start + 41_000), 'False');
  assert.is(statusOf(seen, condition('False'), start + 1_000), 'False', 'away it stays until it is heard of');
  const renewed = observe(lease('b'), seen, start + 2_000);
  assert.is(statusOf(renewed, condition('False'), start + 2_000), 'True');
});
presence('is not evaluated without a lease', () => {
  assert.is(observe(undefined, undefined, start), undefined);
  assert.is(statusOf(undefined, condition('True'), start, undefined), 'Unknown');
  const released = lease('c', { holderIdentity: '' });
  assert.is(observe(released, { renewTime: 'b', at: 0, renewed: true }, start), undefined);
  assert.is(statusOf(undefined, condition('True'), start, released), 'Unknown');
});
presence('uses the consumer’s duration within bounds', () => {
  const at = (leaseDurationSeconds: number, after: number) => {
    const of = lease('a', { leaseDurationSeconds });
    return evaluatePresence(
      'home',
      of,
      { renewTime: 'a', at: start, renewed: true },
      undefined,
      start + after,
    ).finding.status;
  };
  assert.is(at(1, 14_000), 'True');
  assert.is(at(1, 15_000), 'False');
  assert.is(at(1e9, 300_000), 'False');
});
presence.run();

const plan = suite('a pod whose consumer is away');
const stop = new Date(start + 600_000).toISOString();
const shadow = (
  onDisconnect: ShadowPod['spec']['onDisconnect'],
  more: { stoppedAt?: string; resume?: string } = {},
): ShadowPod => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'ShadowPod',
  metadata: {
    name: 'web',
    namespace: 'shop-home',
    ...(more.resume !== undefined && { annotations: { [annotations.resume]: more.resume } }),
  },
  spec: { podUID: 'u', pod: {}, ...(onDisconnect && { onDisconnect }) },
  status: { ...(more.stoppedAt !== undefined && { stoppedAt: more.stoppedAt }) },
});
const after = (seconds: number) => ({ policy: 'StopAfter' as const, seconds });
const stopped = { stoppedAt: stop };
type Row = [what: string, shadow: ShadowPod, presence: Condition | undefined, now: number, expected: object];
const rows: Row[] = [
  ['kept by default', shadow(undefined), condition('False'), start + 1e9, { action: 'Run' }],
  ['kept as asked', shadow({ policy: 'Keep' }), condition('False'), start + 1e9, { action: 'Run' }],
  ['nothing is known', shadow(after(600)), undefined, start + 1e9, { action: 'Run' }],
  ['it does not show itself', shadow(after(600)), condition('Unknown'), start + 1e9, { action: 'Run' }],
  ['it is there', shadow(after(600)), condition('True'), start + 1e9, { action: 'Run' }],
  [
    'away, not for long enough',
    shadow(after(600)),
    condition('False'),
    start + 599_000,
    { action: 'Run', againAfterMilliseconds: 1_000 },
  ],
  ['away for long', shadow(after(600)), condition('False'), start + 600_000, { action: 'Stop' }],
  [
    'away for long, without a number',
    shadow({ policy: 'StopAfter' }),
    condition('False'),
    start + 300_000,
    { action: 'Stop' },
  ],
  [
    'stopped, still away',
    shadow(after(600), stopped),
    condition('False'),
    start + 1e9,
    { action: 'StayStopped' },
  ],
  [
    'stopped, back, not vouched for',
    shadow(after(600), stopped),
    condition('True'),
    start,
    { action: 'StayStopped' },
  ],
  [
    'stopped, vouched for after an earlier stop',
    shadow(after(600), { ...stopped, resume: '2025-01-01T00:00:00.000Z' }),
    condition('True'),
    start,
    { action: 'StayStopped' },
  ],
  [
    'stopped, vouched for, and not heard of yet',
    shadow(after(600), { ...stopped, resume: stop }),
    condition('False'),
    start,
    { action: 'StayStopped' },
  ],
  [
    'stopped, back and vouched for',
    shadow(after(600), { ...stopped, resume: stop }),
    condition('True'),
    start,
    { action: 'Run' },
  ],
  [
    'back with Keep instead, and vouched for',
    shadow({ policy: 'Keep' }, { ...stopped, resume: stop }),
    condition('Unknown'),
    start,
    { action: 'Run' },
  ],
  [
    'back with Keep instead, not vouched for',
    shadow({ policy: 'Keep' }, stopped),
    condition('True'),
    start,
    { action: 'StayStopped' },
  ],
];
for (const [what, of, present, now, expected] of rows) {
  plan(what, () => {
    assert.equal(planDisconnect(of, present, now), expected);
  });
}
plan.run();

const back = suite('a consumer that comes back');
const pod = (uid: string, more: object = {}) =>
  podWith({ metadata: { uid, ...more }, spec: { nodeName: 'hawser-farm' } });
const record = (uid: string, more: { stoppedAt?: string; resume?: string }): ShadowPod => {
  const wanted = desiredShadowPod(pod(uid), 'shop-home', 'home', undefined);
  const { metadata, status = {} } = shadow(undefined, more);
  return { ...wanted, metadata: { ...wanted.metadata, ...metadata }, status };
};
const cases: [
  what: string,
  pod: ReturnType<typeof pod> | undefined,
  shadow: ShadowPod,
  expected: PodAction,
][] = [
  ['vouches for a pod that it still has', pod('u'), record('u', stopped), 'ResumeShadow'],
  ['vouches once for each stop', pod('u'), record('u', { ...stopped, resume: stop }), 'None'],
  [
    'vouches again after another stop',
    pod('u'),
    record('u', { ...stopped, resume: 'before' }),
    'ResumeShadow',
  ],
  ['vouches for none that is gone', undefined, record('u', stopped), 'DeleteShadow'],
  ['vouches for none that was replaced', pod('other'), record('u', stopped), 'DeleteShadow'],
  [
    'vouches for none that is leaving',
    pod('u', { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    record('u', stopped),
    'DeleteShadow',
  ],
  ['has nothing to say of one that was not stopped', pod('u'), record('u', {}), 'None'],
];
for (const [what, of, its, expected] of cases) {
  back(what, () => {
    const action = planPod({
      pod: of,
      blocker: undefined,
      shadow: its,
      shadowsRead: true,
      wanted: of && desiredShadowPod(of, 'shop-home', 'home', undefined),
      neverOffered: false,
    });
    assert.is(action, expected);
  });
}
back.run();
