import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ShadowPod } from '../../../shared/api/offloading.ts';
import type { Pod } from '../../../daemon/kube/index.ts';
import { twinCounts } from '../../../daemon/tenant/object-limits.ts';
import { finishedKept, recordsToDrop } from '../../../daemon/vnode/finished-records.ts';
import { planPod, type PodState } from '../../../daemon/vnode/pod-plan.ts';
import { planRemoval, type RemovalState } from '../../../daemon/vnode/removal-plan.ts';
import { deletionGrace, desiredShadowPod, shadowPodDiffers } from '../../../daemon/vnode/shadow-pod.ts';
import { pod as podWith } from '../../support/objects.ts';

const test = suite('records of offloaded pods');

const pod = (more: Partial<Pod['metadata']> = {}, phase = 'Pending') =>
  podWith({ metadata: more, spec: { containers: [{ name: 'main', image: 'one' }] }, status: { phase } });
const wanted = desiredShadowPod(pod(), 'shop-home', 'home', undefined);
const shadow = (
  more: Partial<ShadowPod['metadata']> = {},
  spec: Partial<ShadowPod['spec']> = {},
): ShadowPod => ({
  ...wanted,
  metadata: { ...wanted.metadata, ...more },
  spec: { ...wanted.spec, ...spec },
});
const leaving = { deletionTimestamp: '2026-01-01T00:00:00Z' };
const refused = (): Pod => ({ ...pod(), status: { phase: 'Failed', reason: 'RefusedByProvider' } });
const base: PodState = {
  pod: pod(),
  blocker: undefined,
  shadow: undefined,
  shadowsRead: true,
  wanted,
  neverOffered: false,
};

const plans: [string, Partial<PodState>, ReturnType<typeof planPod>][] = [
  ['a new pod', {}, 'CreateShadow'],
  ['nothing is known of the records yet', { shadowsRead: false }, 'None'],
  ['it can’t go there', { blocker: { reason: 'x', message: 'x' } }, 'None'],
  ['all is as it should be', { shadow: shadow() }, 'None'],
  ['another image', { shadow: shadow({}, { pod: { containers: [] } }) }, 'UpdateShadow'],
  ['a record of an earlier pod of this name', { shadow: shadow({}, { podUID: 'u0' }) }, 'DeleteShadow'],
  ['… that is on its way out', { shadow: shadow(leaving, { podUID: 'u0' }) }, 'None'],
  ['a finished pod keeps its record', { pod: pod({}, 'Succeeded'), shadow: shadow() }, 'None'],
  ['a finished pod is not started again', { pod: pod({}, 'Failed') }, 'None'],
  [
    'a pod that was failed since it is refused must not begin there',
    { pod: refused(), shadow: shadow() },
    'DeleteShadow',
  ],
  ['… nor be offered again', { pod: refused() }, 'None'],
  ['the pod is deleted', { pod: pod(leaving), shadow: shadow() }, 'DeleteShadow'],
  ['… and the provider ends it', { pod: pod(leaving), shadow: shadow(leaving) }, 'None'],
  [
    '… with less grace than was asked first',
    {
      pod: pod({ ...leaving, deletionGracePeriodSeconds: 2 }),
      shadow: shadow({ ...leaving, annotations: { 'hawser.dev/deletion-grace-seconds': '9' } }),
    },
    'ShortenGrace',
  ],
  [
    '… with less grace than its own',
    { pod: pod({ ...leaving, deletionGracePeriodSeconds: 2 }), shadow: shadow(leaving) },
    'ShortenGrace',
  ],
  [
    'the provider’s cluster gave the pod up with its node',
    {
      pod: pod({}, 'Running'),
      shadow: {
        ...shadow(),
        status: {
          pod: {
            phase: 'Running',
            conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager' }],
          },
        },
      },
    },
    'FollowDeletion',
  ],
  ['… and nothing is left there', { pod: pod(leaving) }, 'FinishDeletion'],
  ['… but that is not known', { pod: pod(leaving), shadowsRead: false }, 'None'],
  [
    '… and never was anything there',
    { pod: pod(leaving), shadowsRead: false, neverOffered: true },
    'FinishDeletion',
  ],
  [
    '… and what is there is another’s',
    { pod: pod(leaving), shadow: shadow({}, { podUID: 'u2' }) },
    'FinishDeletion',
  ],
  ['a record without a pod', { pod: undefined, shadow: shadow() }, 'DeleteShadow'],
  ['nothing at all', { pod: undefined }, 'None'],
];
for (const [name, more, expected] of plans) {
  test(name, () => assert.is(planPod({ ...base, ...more }), expected));
}

test('the newest records of ended pods stay', () => {
  const record = (name: string, second: number, more: object = {}): ShadowPod =>
    shadow({ name, creationTimestamp: `2026-01-01T00:00:${String(second).padStart(2, '0')}Z`, ...more });
  const all = [
    record('c', 3),
    record('a', 1),
    record('lives', 0),
    record('b', 2),
    record('gone', 0, leaving),
  ];
  const hasEnded = ({ metadata }: ShadowPod) => metadata.name !== 'lives';
  const dropped = (keep: number) => recordsToDrop(all, hasEnded, keep).map(({ metadata }) => metadata.name);
  assert.equal(dropped(3), []);
  assert.equal(dropped(2), ['a']);
  assert.equal(dropped(0), ['a', 'b', 'c']);
  const many = Array.from({ length: 100 }, (_, index) => record(`p${index}`, index % 60));
  assert.is(recordsToDrop(many, () => true, 10).length, 32, 'a few at a time');
});

test('records of ended pods leave room for all granted pods', () => {
  for (const pods of [1, 20, 110, 128, 129, 1000, 4000]) {
    const grant = { cpu: '1', memory: '1Gi', pods, podSecurity: 'baseline' } as const;
    const name = 'count/shadowpods.hawser.dev';
    const room = Number(twinCounts(grant, new Set([name]))[name]);
    assert.ok(finishedKept(grant) + pods <= room, `${pods}`);
  }
});

test('parts that only concern this cluster stay here', () => {
  const whole: Pod = {
    ...pod({
      labels: { app: 'web' },
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', note: 'x' },
    }),
    spec: {
      nodeName: 'hawser-farm',
      nodeSelector: { a: 'b' },
      affinity: {},
      tolerations: [{}],
      priority: 3,
      priorityClassName: 'high',
      schedulerName: 'default-scheduler',
      serviceAccountName: 'robot',
      serviceAccount: 'robot',
      enableServiceLinks: true,
      hostNetwork: true,
      dnsPolicy: 'ClusterFirst',
      volumes: [
        { name: 'kube-api-access-x7k2p', projected: {} },
        { name: 'data', emptyDir: {} },
      ],
      initContainers: [{ name: 'first' }],
      containers: [
        {
          name: 'main',
          volumeMounts: [
            { name: 'kube-api-access-x7k2p', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
            { name: 'data', mountPath: '/data' },
          ],
          env: [
            { name: 'NS', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
            { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          ],
        },
      ],
    },
  };
  const { spec } = desiredShadowPod(whole, 'shop-home', 'home', { policy: 'Keep' });
  assert.equal(spec.annotations, { note: 'x' });
  assert.equal(spec.labels, { app: 'web' });
  assert.equal(spec.onDisconnect, { policy: 'Keep' });
  assert.equal(spec.pod, {
    enableServiceLinks: true,
    // The user requested it: the provider will refuse it with a message.
    hostNetwork: true,
    dnsPolicy: 'ClusterFirst',
    initContainers: [{ name: 'first' }],
    containers: [
      {
        name: 'main',
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
        env: [
          { name: 'NS', value: 'shop' },
          { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        ],
      },
    ],
    volumes: [{ name: 'data', emptyDir: {} }],
    automountServiceAccountToken: false,
  });
});

test('the order of keys is no difference', () => {
  const turned = shadow({}, { pod: Object.fromEntries(Object.entries(wanted.spec.pod).toReversed()) });
  assert.not(shadowPodDiffers(turned, wanted));
});

test('a grace period other than the pod’s own is passed on', () => {
  assert.is(deletionGrace(pod()), undefined);
  assert.is(deletionGrace(pod({ deletionGracePeriodSeconds: 30 })), undefined);
  assert.is(deletionGrace(pod({ deletionGracePeriodSeconds: 0 })), 0);
  assert.is(deletionGrace(pod({ deletionGracePeriodSeconds: 5 })), 5);
});

const removal = (more: Partial<RemovalState>) =>
  planRemoval({
    waitingSince: 0,
    now: 1000,
    provider: 'Reachable',
    providerSince: 0,
    pods: [],
    twins: [],
    ...more,
  });
test('removal: pods and twins at once, then the node', () => {
  const begun = removal({ pods: [{ key: 'a', deleting: false }], twins: [{ name: 't', deleting: false }] });
  assert.equal(begun.deletePods, ['a']);
  assert.equal(begun.deleteTwins, ['t']);
  assert.not(begun.done);
  assert.not(removal({ twins: [{ name: 't', deleting: true }] }).done);
  assert.ok(removal({}).done);
  assert.equal(removal({}).residue, []);
});
test('removal: an unreachable provider is awaited for ten seconds, and the residue is named', () => {
  const lost = { provider: 'Unreachable' as const, twins: undefined, pods: [{ key: 'a', deleting: true }] };
  assert.equal(removal(lost).forcePods, []);
  assert.equal(removal({ ...lost, now: 10_000 }).forcePods, ['a']);
  const ended = removal({ provider: 'Unreachable', twins: undefined, now: 10_000 });
  assert.ok(ended.done);
  assert.is(ended.residue.length, 1);
  assert.not(removal({ provider: 'Unreachable', twins: undefined }).done);
});
test('removal: a provider that has been unreachable for long is not awaited again', () => {
  const lost = { provider: 'Unreachable' as const, twins: undefined, waitingSince: 60_000 };
  assert.ok(removal({ ...lost, now: 61_000 }).done);
  assert.not(removal({ ...lost, now: 60_500 }).done, 'once more it is asked');
  assert.not(removal({ ...lost, now: 61_000, providerSince: 55_000 }).done);
});
test('removal: unknown state is no reason to give up', () => {
  assert.not(removal({ provider: 'Unknown', twins: undefined, now: 100_000 }).done);
});
test('removal: without an identity nothing is awaited', () => {
  assert.ok(removal({ provider: 'NoIdentity', twins: undefined }).done);
});
test('removal: twin namespaces that never disappear are named in the end', () => {
  const stuck = removal({ twins: [{ name: 't', deleting: true }], now: 60_000 });
  assert.ok(stuck.done);
  assert.match(stuck.residue[0] ?? '', /t is still at the provider/);
});

test.run();
