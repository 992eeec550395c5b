import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tunnel } from '../../../shared/api/network.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { capacityOf } from '../../../daemon/vnode/capacity.ts';
import {
  appliedNode,
  apiUnreachableTaint,
  newNode,
  nodeStatus,
  plannedTaints,
  statusDiffers,
  type NodeFacts,
} from '../../../daemon/vnode/node-object.ts';
import {
  evaluateReadiness,
  nodeReadyFinding,
  type ApiReachability,
} from '../../../daemon/vnode/readiness.ts';
import { condition as conditionWith } from '../../support/objects.ts';

const test = suite('readiness of a virtual node');
const now = Date.parse('2026-01-01T00:00:00Z');
const facts: NodeFacts = {
  address: '10.244.1.9',
  kubeletPort: 10250,
  version: 'v1.34.4-hawser-0.1.0',
  architecture: 'amd64',
};

const condition = (type: string, status: 'True' | 'False', reason = 'Because') =>
  conditionWith(type, status, { reason, message: `about ${type}`, since: '2025-12-31T23:00:00Z' });
function peering(
  identity: ReturnType<typeof condition> | undefined,
  more: Partial<OutgoingPeering['spec']> = {},
  grant = { cpu: '4', memory: '8Gi', pods: 20, podSecurity: 'baseline' as const },
): OutgoingPeering {
  return {
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'OutgoingPeering',
    metadata: { name: 'farm', generation: 3 },
    spec: { remoteCluster: 'farm', peering: 'default', nodeName: 'hawser-farm', desired: 'Active', ...more },
    status: { grant, ...(identity && { conditions: [identity] }) },
  };
}
const tunnel = (path?: 'True' | 'False') =>
  ({
    status: { conditions: path === undefined ? [] : [condition('PathVerified', path)] },
  }) as unknown as Tunnel;
const reachable: ApiReachability = { state: 'Reachable', since: now, message: '' };
const unreachable: ApiReachability = { state: 'Unreachable', since: now, message: 'refused' };
const valid = condition('IdentityValid', 'True');

const judgements: [
  string,
  OutgoingPeering,
  Tunnel | undefined,
  ApiReachability,
  { status: string; reason: string; keepsAway: boolean; network: boolean },
][] = [
  [
    'all is well',
    peering(valid),
    tunnel('True'),
    reachable,
    { status: 'True', reason: 'PathVerified', keepsAway: false, network: true },
  ],
  [
    'the API server alone is lost: Ready, but no new pods',
    peering(valid),
    tunnel('True'),
    unreachable,
    { status: 'True', reason: 'PathVerified', keepsAway: true, network: true },
  ],
  [
    'the path is lost',
    peering(valid),
    tunnel('False'),
    reachable,
    { status: 'False', reason: 'PathNotVerified', keepsAway: false, network: false },
  ],
  [
    'no probe yet',
    peering(valid),
    tunnel(),
    reachable,
    { status: 'False', reason: 'PathNotVerified', keepsAway: false, network: false },
  ],
  [
    'no tunnel yet',
    peering(valid),
    undefined,
    reachable,
    { status: 'False', reason: 'TunnelMissing', keepsAway: false, network: false },
  ],
  [
    'the provider refuses the identity',
    peering(condition('IdentityValid', 'False', 'PeeringEnded')),
    tunnel('True'),
    reachable,
    { status: 'False', reason: 'IdentityInvalid', keepsAway: false, network: true },
  ],
  [
    'the identity expired because the provider does not answer: like losing the API',
    peering(condition('IdentityValid', 'False', 'IdentityExpired')),
    tunnel('True'),
    unreachable,
    { status: 'True', reason: 'PathVerified', keepsAway: true, network: true },
  ],
];
for (const [name, of, through, api, expected] of judgements) {
  test(name, () => {
    const found = evaluateReadiness(of, through, api);
    assert.is(found.status, expected.status);
    assert.is(found.reason, expected.reason);
    assert.is(found.apiUnreachable !== undefined, expected.keepsAway);
    assert.is(found.networkUnavailable, !expected.network);
    const finding = nodeReadyFinding(of, found);
    assert.is(finding.status, expected.status);
    assert.is(finding.observedGeneration, 3);
    assert.ok(finding.message.length > 10);
    // Evaluated again at another time, the text is the same: nothing is written twice.
    assert.equal(evaluateReadiness(of, through, api), found);
  });
}

test('a peering that is being removed is never Ready', () => {
  const leaving = peering(valid);
  leaving.metadata.deletionTimestamp = '2026-01-01T00:00:00Z';
  assert.is(evaluateReadiness(leaving, tunnel('True'), reachable).reason, 'Removing');
});

test('capacity is the grant, or less if less is requested', () => {
  assert.equal(capacityOf(peering(valid)), { cpu: '4', memory: '8Gi', pods: '20' });
  assert.equal(capacityOf(peering(valid, { capacity: { cpu: '1500m', memory: '16Gi', pods: 5 } })), {
    cpu: '1500m',
    memory: '8Gi',
    pods: '5',
  });
  const gpu = peering(valid);
  const extendedResources = [{ name: 'nvidia.com/gpu', quantity: '2' }];
  gpu.status = {
    ...gpu.status,
    grant: { ...gpu.status!.grant!, ephemeralStorage: '50Gi', extendedResources },
  };
  assert.equal(capacityOf(gpu), {
    cpu: '4',
    memory: '8Gi',
    pods: '20',
    'ephemeral-storage': '50Gi',
    'nvidia.com/gpu': '2',
  });
  const none = peering(valid);
  delete none.status;
  assert.equal(capacityOf(none), { cpu: '0', memory: '0', pods: '0' });
});

const away = { apiUnreachable: 'why', apiUnknown: false };
const near = { apiUnreachable: undefined, apiUnknown: false };
const unknown = { apiUnreachable: undefined, apiUnknown: true };
const own = { key: 'hawser.dev/virtual-node', value: 'true', effect: 'NoSchedule' };
const others = { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' };
test('taints: own ones are corrected, others stay', () => {
  assert.is(plannedTaints([others, own], near, now), undefined);
  assert.equal(plannedTaints([others], near, now), [others, own]);
  const both = plannedTaints([others, own], away, now);
  assert.equal(both?.slice(0, 2), [others, own]);
  assert.is(both?.[2]?.key, apiUnreachableTaint);
  assert.is(plannedTaints(both, away, now + 60_000), undefined);
  assert.is(plannedTaints(both, unknown, now), undefined, 'a restart changes nothing');
  assert.is(plannedTaints([others, own], unknown, now), undefined);
  assert.equal(plannedTaints(both, near, now), [others, own]);
  assert.equal(plannedTaints([{ ...own, effect: 'NoExecute' }], near, now), [own]);
});

test('the node is tainted from its creation, and cordoned only on request', () => {
  assert.equal(newNode(peering(valid), facts).spec?.taints, [own]);
  assert.equal(appliedNode(peering(valid), facts).spec, {});
  assert.equal(appliedNode(peering(valid, { desired: 'Drained' }), facts).spec, { unschedulable: true });
});

test('status is written only when it differs, and transition times move with the status', () => {
  const readiness = evaluateReadiness(peering(valid), tunnel('True'), reachable);
  const first = nodeStatus(peering(valid), readiness, facts, undefined, now);
  assert.is(first.nodeInfo?.['kubeletVersion'], 'v1.34.4-hawser-0.1.0');
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'hawser-farm' }, status: first };
  const later = nodeStatus(peering(valid), readiness, facts, node, now + 60_000);
  assert.equal(later, first);
  assert.not(statusDiffers(node, later));
  const lost = evaluateReadiness(peering(valid), tunnel('False'), reachable);
  const changed = nodeStatus(peering(valid), lost, facts, node, now + 60_000);
  assert.ok(statusDiffers(node, changed));
  assert.is(
    changed.conditions?.find((each) => each.type === 'Ready')?.lastTransitionTime,
    '2026-01-01T00:01:00Z',
  );
  assert.is(
    changed.conditions?.find((each) => each.type === 'DiskPressure')?.lastTransitionTime,
    '2026-01-01T00:00:00Z',
  );
});

test.run();
