import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ShadowPod } from '../../../shared/api/offloading.ts';
import type { Pod } from '../../../daemon/kube/index.ts';
import { podStatusDiffers } from '../../../daemon/vnode/pod-status-difference.ts';
import { finalPodStatus, localPodStatus, type StatusInput } from '../../../daemon/vnode/pod-status.ts';
import { pod as podWith } from '../../support/objects.ts';

const test = suite('status of offloaded pods');
const now = Date.parse('2026-01-01T00:00:00Z');
const time = '2025-12-31T23:59:00Z';

const pod = (more: Partial<Pod> = {}): Pod => ({
  ...podWith({ spec: { restartPolicy: 'Always' } }),
  ...more,
});
function shadow(
  status: Record<string, unknown> | undefined,
  more: Partial<ShadowPod['status']> = {},
): ShadowPod {
  return {
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'ShadowPod',
    metadata: { name: 'web', namespace: 'shop-home' },
    spec: { podUID: 'u1', pod: {} },
    status: {
      ...(status && { pod: status }),
      conditions: [
        { type: 'Admitted', status: 'True', reason: 'Admitted', message: '', lastTransitionTime: time },
      ],
      ...more,
    },
  };
}
const running = (more: Record<string, unknown> = {}) => ({
  phase: 'Running',
  podIP: '10.244.3.4',
  podIPs: [{ ip: '10.244.3.4' }],
  startTime: time,
  conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: time }],
  containerStatuses: [
    {
      name: 'main',
      ready: true,
      restartCount: 2,
      image: 'i',
      imageID: 'i@1',
      state: { running: { startedAt: time } },
    },
  ],
  ...more,
});
const input = (more: Partial<StatusInput>): StatusInput => ({
  pod: pod(),
  shadow: undefined,
  blocker: undefined,
  provider: 'farm',
  hostAddress: '10.0.0.9',
  tunnel: {
    remotePodCIDRs: ['10.244.0.0/16'],
    remaps: [
      { real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'InUse' },
      { real: '100.64.0.0/20', mapped: '100.65.0.0/20', state: 'InUse' },
    ],
  },
  pathVerified: true,
  isTaken: () => false,
  now,
  ...more,
});
const condition = (status: ReturnType<typeof localPodStatus>, type: string) =>
  status?.conditions?.find((each) => each.type === type);
const offloaded = 'hawser.dev/Offloaded';

test('a running pod has the consumer’s addresses', () => {
  const status = localPodStatus(input({ shadow: shadow(running()) }));
  assert.is(status?.phase, 'Running');
  assert.equal(status?.podIPs, [{ ip: '10.128.3.4' }]);
  assert.is(status?.podIP, '10.128.3.4');
  assert.is(status?.hostIP, '10.0.0.9');
  assert.is(status?.containerStatuses?.[0]?.restartCount, 2);
  assert.is(condition(status, 'Ready')?.status, 'True');
  assert.is(condition(status, offloaded)?.status, 'True');
});

const addresses: [string, Record<string, unknown>, Partial<StatusInput>][] = [
  ['outside of every range', { podIP: '192.168.1.1', podIPs: [] }, {}],
  ['in the external range, where no pods are', { podIP: '100.64.0.5', podIPs: [] }, {}],
  ['no address at all', { podIP: 'localhost', podIPs: [] }, {}],
  ['another pod’s', {}, { isTaken: (address) => address === '10.128.3.4' }],
  ['before there is a tunnel', {}, { tunnel: undefined }],
  ['one good, one not', { podIPs: [{ ip: '10.244.3.4' }, { ip: '1.1.1.1' }] }, {}],
];
for (const [name, reported, more] of addresses) {
  test(`an address is refused: ${name}`, () => {
    const status = localPodStatus(input({ shadow: shadow(running(reported)), ...more }));
    assert.is(status?.podIP, undefined);
    assert.is(status?.podIPs, undefined);
    assert.is(condition(status, 'Ready')?.status, 'False');
    assert.is(condition(status, offloaded)?.reason, 'AddressNotAccepted');
  });
}

const waiting: [string, Partial<StatusInput>, string | undefined, string][] = [
  [
    'not offloaded',
    { blocker: { reason: 'NamespaceNotOffloaded', message: 'm' } },
    'NamespaceNotOffloaded',
    'NamespaceNotOffloaded',
  ],
  ['not decided yet', { shadow: shadow(undefined, { conditions: [] }) }, undefined, 'WaitingForProvider'],
  [
    'refused',
    {
      shadow: shadow(undefined, {
        conditions: [
          {
            type: 'Admitted',
            status: 'False',
            reason: 'FieldNotAllowed',
            message: 'hostNetwork: no\u001b[31m',
            lastTransitionTime: time,
          },
        ],
      }),
    },
    'RefusedByProvider',
    'RefusedByProvider',
  ],
];
for (const [name, more, reason, conditionReason] of waiting) {
  test(`Pending with a reason: ${name}`, () => {
    const status = localPodStatus(input(more));
    assert.is(status?.phase, 'Pending');
    assert.is(status?.reason, reason);
    assert.is(condition(status, offloaded)?.reason, conditionReason);
    assert.not.match(condition(status, offloaded)?.message ?? '', '\u001b');
  });
}

test('the provider’s scheduler finds no node', () => {
  const remote = {
    phase: 'Pending',
    conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes' }],
  };
  const status = localPodStatus(input({ shadow: shadow(remote) }));
  assert.is(condition(status, offloaded)?.reason, 'UnschedulableAtProvider');
  assert.match(condition(status, offloaded)?.message ?? '', /0\/1 nodes/);
  assert.is(condition(status, 'PodScheduled'), undefined);
});

test('only known fields of bounded length are copied', () => {
  const wild = running({
    phase: 'Exploded',
    qosClass: 'BestEffort',
    message: 'x'.repeat(100_000),
    startTime: '2099-01-01T00:00:00Z',
    conditions: [
      { type: 'Ready', status: 'Perhaps' },
      { type: 'ContainersReady', status: 'True', lastTransitionTime: 'yesterday' },
      { type: 'evil.example/Owned', status: 'True' },
    ],
    containerStatuses: [
      { name: 'stranger', ready: true },
      {
        name: 'main',
        ready: 'yes',
        restartCount: -1,
        containerID: 'nonsense',
        state: { terminated: { exitCode: 'x' }, running: {} },
        resources: {},
      },
    ],
    nominatedNodeName: 'n',
  });
  const status = localPodStatus(input({ shadow: shadow(wild) }));
  assert.is(status?.phase, 'Pending');
  assert.is(status?.message?.length, 1024);
  assert.is(status?.startTime, undefined);
  assert.equal(
    status?.conditions?.map((each) => each.type),
    ['ContainersReady', offloaded],
  );
  assert.is(condition(status, 'ContainersReady')?.lastTransitionTime, '2026-01-01T00:00:00Z');
  assert.equal(status?.containerStatuses, [
    {
      name: 'main',
      ready: false,
      restartCount: 0,
      image: '',
      imageID: '',
      state: { terminated: { exitCode: 255 } },
    },
  ]);
  assert.not.ok('qosClass' in (status ?? {}));
  assert.not.ok('nominatedNodeName' in (status ?? {}));
});

test('a provider’s wrong clock does not cause endless status updates', () => {
  for (const stamp of ['2026-01-01T05:00:00Z', '2099-01-01T00:00:00Z', 'yesterday']) {
    const said = shadow(
      running({
        startTime: stamp,
        conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: stamp }],
      }),
    );
    const first = localPodStatus(input({ shadow: said }))!;
    const later = localPodStatus(input({ pod: pod({ status: first }), shadow: said, now: now + 5000 }))!;
    assert.equal(later, first, stamp);
  }
});

test('a finished pod never changes again', () => {
  const finished = pod({ status: { phase: 'Succeeded' } });
  assert.is(localPodStatus(input({ pod: finished, shadow: shadow(running()) })), undefined);
});

for (const restartPolicy of ['Always', 'OnFailure', 'Never']) {
  test(`a pod that was evicted at the provider is Failed here: restartPolicy ${restartPolicy}`, () => {
    const evicted = shadow(running({ phase: 'Failed', reason: 'Evicted' }));
    const local = pod({
      spec: { containers: [{ name: 'main' }], restartPolicy },
      status: { phase: 'Running' },
    });
    const status = localPodStatus(input({ pod: local, shadow: evicted }));
    assert.is(status?.phase, 'Failed');
    assert.is(status?.reason, 'Evicted');
  });
}

test('a DaemonSet’s pod that no provider runs does not stop the DaemonSet’s rollout', () => {
  const owner = { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'kube-proxy', uid: 'd', controller: true };
  const daemon = pod({
    metadata: { name: 'kube-proxy-x', namespace: 'kube-system', uid: 'u1', ownerReferences: [owner] },
  });
  const blocked = {
    blocker: { reason: 'NamespaceNotOffloaded', message: 'Namespace kube-system is not offloaded.' },
  };
  const status = localPodStatus(input({ pod: daemon, ...blocked }));
  assert.is(status?.phase, 'Running');
  assert.is(condition(status, 'Ready')?.status, 'True');
  assert.is(status?.podIP, undefined, 'no Service sends anything to it');
  assert.is(condition(status, offloaded)?.status, 'False');
  assert.is(condition(status, offloaded)?.reason, 'DaemonPodNotRun');
  assert.match(condition(status, offloaded)?.message ?? '', 'No container of this pod runs');
  const again = localPodStatus(input({ pod: { ...daemon, status: status! }, ...blocked, now: now + 60_000 }));
  assert.equal(again, status, 'it rests');
  assert.is(localPodStatus(input(blocked))?.phase, 'Pending', 'any other pod waits');
});

test('a running pod stays Running when it is refused or its namespace is no longer offloaded, and is not Ready', () => {
  const before = localPodStatus(input({ shadow: shadow(running()) }));
  const local = pod({ status: before! });
  const status = localPodStatus(
    input({ pod: local, shadow: shadow(running()), blocker: { reason: 'TwinPending', message: 'm' } }),
  );
  assert.is(status?.phase, 'Running');
  assert.is(status?.podIP, '10.128.3.4');
  assert.equal(status?.containerStatuses, before?.containerStatuses);
  assert.is(condition(status, 'Ready')?.status, 'False');
  assert.is(condition(status, 'Ready')?.reason, 'TwinPending');
  assert.is(condition(status, offloaded)?.reason, 'TwinPending');
});

test('restartCount counts each time the provider made the pod again, and never falls', () => {
  const counted = (restartCount: number, restarts: number, before?: number) =>
    localPodStatus(
      input({
        pod: pod({
          status: {
            phase: 'Running',
            containerStatuses: [
              { name: 'main', ready: true, restartCount: before ?? 0, image: '', imageID: '' },
            ],
          },
        }),
        shadow: shadow(running({ containerStatuses: [{ name: 'main', restartCount }] }), { restarts }),
      }),
    )?.containerStatuses?.[0]?.restartCount;
  assert.is(counted(2, 0), 2);
  assert.is(counted(0, 1), 1);
  assert.is(counted(0, 1, 5), 5);
  assert.is(counted(7, 1, 5), 8);
});

test('a disruption at the provider is reported as a disruption here', () => {
  const drained = shadow(
    running({
      phase: 'Failed',
      conditions: [
        { type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', message: 'drain' },
      ],
    }),
  );
  const found = condition(localPodStatus(input({ shadow: drained })), 'DisruptionTarget');
  assert.is(found?.status, 'True');
  assert.is(found?.reason, 'EvictionByEvictionAPI');
  const set = pod({
    status: { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' }] },
  });
  assert.not.ok(
    podStatusDiffers(
      {
        ...set.status,
        ...localPodStatus(input({ pod: set, shadow: shadow(running()) }))!,
        conditions: [
          ...(localPodStatus(input({ pod: set, shadow: shadow(running()) }))?.conditions ?? []),
          ...(set.status?.conditions ?? []),
        ],
      },
      localPodStatus(input({ pod: set, shadow: shadow(running()) }))!,
    ),
    'one that this cluster set stays',
  );
});

test('termination messages have a kubelet’s maximum length, with signal and container ID', () => {
  const ended = (containers: { name: string }[]) =>
    localPodStatus(
      input({
        pod: pod({ spec: { containers, restartPolicy: 'Never' } }),
        shadow: shadow({
          phase: 'Failed',
          containerStatuses: containers.map(({ name }) => ({
            name,
            state: {
              terminated: {
                exitCode: 137,
                signal: 9,
                message: 'm'.repeat(5000),
                containerID: 'containerd://x',
              },
            },
          })),
        }),
      }),
    )?.containerStatuses?.map((each) => each.state?.terminated);
  const [one] = ended([{ name: 'main' }]) ?? [];
  assert.is(one?.message?.length, 4096);
  assert.is(one?.signal, 9);
  assert.is(one?.containerID, 'containerd://x');
  const six = ended(Array.from({ length: 6 }, (_, index) => ({ name: `c${index}` }))) ?? [];
  assert.is(
    six.reduce((sum, each) => sum + (each?.message?.length ?? 0), 0),
    12_288,
  );
});

const finals: [name: string, more: Partial<StatusInput>, phase: string | undefined][] = [
  ['the record said how it ended', { shadow: shadow({ phase: 'Succeeded' }) }, 'Succeeded'],
  ['it never said, and nothing holds the pod', {}, undefined],
  [
    'it never said, and a Job’s finalizer holds the pod',
    {
      pod: pod({
        metadata: {
          name: 'web',
          namespace: 'shop',
          uid: 'u1',
          finalizers: ['batch.kubernetes.io/job-tracking'],
        },
        status: { phase: 'Running' },
      }),
    },
    'Failed',
  ],
  [
    'the pod had ended before',
    { pod: pod({ status: { phase: 'Failed' } }), shadow: shadow({ phase: 'Succeeded' }) },
    undefined,
  ],
];
for (const [name, more, phase] of finals) {
  test(`the last status before a pod is deleted: ${name}`, () => {
    assert.is(finalPodStatus(input(more))?.phase, phase);
  });
}

test('while the provider creates the pod again, it is not Ready', () => {
  const gone = shadow(running());
  gone.status?.conditions?.push({
    type: 'Running',
    status: 'False',
    reason: 'PodMissing',
    message: '',
    lastTransitionTime: time,
  });
  assert.is(condition(localPodStatus(input({ shadow: gone })), 'Ready')?.reason, 'PodMissing');
});

test('no pod is Ready without a verified path', () => {
  const status = localPodStatus(input({ shadow: shadow(running()), pathVerified: false }));
  assert.is(condition(status, 'Ready')?.reason, 'NodeNotReady');
  assert.is(status?.phase, 'Running');
});

test('a lost record does not reset a running pod', () => {
  assert.is(localPodStatus(input({ pod: pod({ status: { phase: 'Running' } }) })), undefined);
});

test('Ready requires the readiness gates that are set here', () => {
  const gated = pod({
    spec: { containers: [{ name: 'main' }], readinessGates: [{ conditionType: 'example.com/lb' }] },
  });
  assert.is(
    condition(localPodStatus(input({ pod: gated, shadow: shadow(running()) })), 'Ready')?.status,
    'False',
  );
  gated.status = { conditions: [{ type: 'example.com/lb', status: 'True' }] };
  assert.is(
    condition(localPodStatus(input({ pod: gated, shadow: shadow(running()) })), 'Ready')?.status,
    'True',
  );
});

test('an unchanged status is not written again', () => {
  const status = localPodStatus(input({ shadow: shadow(running()) }))!;
  const seen = {
    ...status,
    qosClass: 'BestEffort',
    conditions: [...(status.conditions ?? []), { type: 'PodScheduled', status: 'True' }],
  };
  assert.not(podStatusDiffers(seen, status));
  const again = localPodStatus(
    input({ pod: pod({ status: seen }), shadow: shadow(running()), now: now + 60_000 }),
  )!;
  assert.not(podStatusDiffers(seen, again));
  assert.ok(podStatusDiffers({ ...seen, podIP: '10.128.3.9' }, status));
  assert.ok(podStatusDiffers({ ...seen, reason: 'RefusedByProvider' }, status), 'an old reason has to go');
  assert.ok(podStatusDiffers({ ...seen, conditions: [] }, status));
});

test('while a range’s remap changes, existing pods keep their addresses and new ones get new addresses', () => {
  const tunnel = {
    remotePodCIDRs: ['10.244.0.0/16'],
    remaps: [
      { real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'Draining' as const },
      { real: '10.244.0.0/16', mapped: '10.129.0.0/16', state: 'InUse' as const },
    ],
  };
  const podIPOf = (podIP?: string) =>
    localPodStatus(
      input({
        tunnel,
        shadow: shadow(running()),
        pod: pod(podIP === undefined ? {} : { status: { podIP, podIPs: [{ ip: podIP }] } }),
      }),
    )?.podIP;
  assert.is(podIPOf('10.128.3.4'), '10.128.3.4');
  assert.is(podIPOf(), '10.129.3.4');
  assert.is(podIPOf('10.128.3.5'), '10.129.3.4', 'it was made again, with another address there');
  assert.is(podIPOf('10.99.3.4'), '10.129.3.4', 'an address of a range that is no more');
});

test.run();
