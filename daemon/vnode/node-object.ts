/** The Node that stands for a provider. Pure. */
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { toSeconds } from '../../shared/conditions.ts';
import { labels, virtualNodeTaint } from '../../shared/names.ts';
import type { Node, PodCondition } from '../../shared/kube/types.ts';
import { capacityOf } from './capacity.ts';
import { desireOf } from './desire.ts';
import type { Readiness } from './readiness.ts';

export type Taint = NonNullable<NonNullable<Node['spec']>['taints']>[number];

/** Keeps new pods away while the provider's API server does not answer. */
export const apiUnreachableTaint = 'hawser.dev/api-unreachable';

/** Address of the virtual node's kubelet API, and its node information. */
export interface NodeFacts {
  /** IP address of the controller's pod, to which the API server connects for logs and exec. */
  address: string;
  kubeletPort: number;
  /** Kubelet version, such as `v1.34.4-hawser-0.1.0`. */
  version: string;
  /** `amd64`, `arm64`: architecture of the provider's nodes, as far as known. */
  architecture: string;
}

/** Labels that identify the node, and exclude it from cloud load balancers. */
export function nodeLabels(peering: OutgoingPeering, facts: NodeFacts): Record<string, string> {
  return {
    [labels.managedBy]: 'hawser',
    [labels.virtualNode]: 'true',
    [labels.remoteCluster]: peering.spec.remoteCluster,
    // Several peerings with one provider give several nodes; a name may be longer than a label's value.
    [labels.peering]: peering.metadata.name.slice(0, 63).replace(/[-.]+$/, ''),
    'kubernetes.io/hostname': peering.spec.nodeName,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': facts.architecture,
    'node.kubernetes.io/exclude-from-external-load-balancers': 'true',
    'node-role.kubernetes.io/provider': '',
    type: 'virtual-node',
  };
}

/** The Node to create. It has the taint from the start, so that no pod is scheduled in between. */
export function newNode(peering: OutgoingPeering, facts: NodeFacts): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: peering.spec.nodeName, labels: nodeLabels(peering, facts) },
    spec: {
      // Cloud controllers delete nodes that are unknown to their cloud, unless the ID is of another provider.
      providerID: `hawser://${peering.metadata.name}`,
      taints: [{ key: virtualNodeTaint, value: 'true', effect: 'NoSchedule' }],
    },
  };
}

/** The applied fields: labels and schedulability. */
export function appliedNode(peering: OutgoingPeering, facts: NodeFacts): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: peering.spec.nodeName, labels: nodeLabels(peering, facts) },
    // Omitted when Active, so that a person's `kubectl cordon` stays.
    spec: desireOf(peering).desired === 'Active' ? {} : { unschedulable: true },
  };
}

/**
 * The desired taints: Hawser's own corrected, all others unchanged. Undefined if nothing changes. `spec.taints` is an atomic
 * list in server-side apply, so it is read, changed and written with its resource version.
 */
export function plannedTaints(
  present: readonly Taint[] | undefined,
  readiness: Pick<Readiness, 'apiUnreachable' | 'apiUnknown'>,
  now: number,
): Taint[] | undefined {
  const list = present ?? [];
  const wanted: Taint[] = [{ key: virtualNodeTaint, value: 'true', effect: 'NoSchedule' }];
  const before = list.find((taint) => taint.key === apiUnreachableTaint);
  if (readiness.apiUnreachable !== undefined || (readiness.apiUnknown && before !== undefined)) {
    const since = before?.timeAdded ?? toSeconds(now);
    wanted.push({ key: apiUnreachableTaint, effect: 'NoSchedule', timeAdded: since });
  }
  const own = (taint: Taint) => taint.key === virtualNodeTaint || taint.key === apiUnreachableTaint;
  const same = (one: Taint, other: Taint) =>
    one.key === other.key && (one.value ?? '') === (other.value ?? '') && one.effect === other.effect;
  const mine = list.filter(own);
  if (mine.length === wanted.length && wanted.every((taint) => mine.some((each) => same(each, taint)))) {
    return undefined;
  }
  return [...list.filter((taint) => !own(taint)), ...wanted];
}

/** Status as it is applied. Conditions carry on their transition times from what the node has. */
export function nodeStatus(
  peering: OutgoingPeering,
  readiness: Readiness,
  facts: NodeFacts,
  present: Node | undefined,
  now: number,
): NonNullable<Node['status']> {
  const conditions: Omit<PodCondition, 'lastTransitionTime'>[] = [
    { type: 'Ready', status: readiness.status, reason: readiness.reason, message: readiness.message },
    {
      type: 'NetworkUnavailable',
      status: readiness.networkUnavailable ? 'True' : 'False',
      reason: readiness.networkUnavailable ? 'PathNotVerified' : 'PathVerified',
      message: readiness.networkUnavailable
        ? 'No probe returns through the tunnel.'
        : 'Probes return through the tunnel.',
    },
    ...(['MemoryPressure', 'DiskPressure', 'PIDPressure'] as const).map((type) => ({
      type,
      status: 'False',
      reason: 'ProvidersConcern',
      message: 'The provider monitors its own nodes.',
    })),
  ];
  return {
    capacity: capacityOf(peering),
    allocatable: capacityOf(peering),
    addresses: [
      { type: 'InternalIP', address: facts.address },
      { type: 'Hostname', address: peering.spec.nodeName },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: facts.kubeletPort } },
    nodeInfo: nodeInfo(peering, facts),
    conditions: conditions.map((condition) => {
      const before = present?.status?.conditions?.find((each) => each.type === condition.type);
      const transitioned = before?.status !== condition.status;
      return {
        ...condition,
        lastTransitionTime: transitioned ? toSeconds(now) : (before?.lastTransitionTime ?? toSeconds(now)),
      };
    }),
  };
}

/** Every field of `nodeInfo` is required by the API. */
function nodeInfo(peering: OutgoingPeering, facts: NodeFacts): Record<string, string> {
  return {
    architecture: facts.architecture,
    bootID: '',
    containerRuntimeVersion: `hawser://${peering.spec.remoteCluster}`,
    kernelVersion: '',
    kubeProxyVersion: '',
    kubeletVersion: facts.version,
    machineID: '',
    operatingSystem: 'linux',
    osImage: `Cluster ${peering.spec.remoteCluster}`,
    systemUUID: '',
  };
}

/** Whether the status to apply differs from the node's. Fields of others are ignored. */
export function statusDiffers(present: Node | undefined, wanted: NonNullable<Node['status']>): boolean {
  const status = present?.status;
  if (status === undefined) return true;
  const differs = (one: unknown, other: unknown) => JSON.stringify(one) !== JSON.stringify(other);
  const sorted = (map: Record<string, string> | undefined) =>
    Object.entries(map ?? {}).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return (
    differs(sorted(status.capacity), sorted(wanted.capacity)) ||
    differs(sorted(status.allocatable), sorted(wanted.allocatable)) ||
    differs(
      sorted(Object.fromEntries((status.addresses ?? []).map((each) => [each.type, each.address]))),
      sorted(Object.fromEntries((wanted.addresses ?? []).map((each) => [each.type, each.address]))),
    ) ||
    status.daemonEndpoints?.kubeletEndpoint?.Port !== wanted.daemonEndpoints?.kubeletEndpoint?.Port ||
    status.nodeInfo?.['kubeletVersion'] !== wanted.nodeInfo?.['kubeletVersion'] ||
    (wanted.conditions ?? []).some((condition) => {
      const before = status.conditions?.find((each) => each.type === condition.type);
      return (
        before?.status !== condition.status ||
        before.reason !== condition.reason ||
        before.message !== condition.message
      );
    })
  );
}
