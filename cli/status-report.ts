/** What `hawser status` shows, from the objects of one cluster. Pure; every part may be missing. */
import type { LocalCluster, RemoteCluster } from '../shared/api/clusters.ts';
import type { Grant } from '../shared/api/grant.ts';
import type { Condition } from '../shared/api/meta.ts';
import type { FabricNode, Tunnel } from '../shared/api/network.ts';
import type { NamespaceOffloading } from '../shared/api/offloading.ts';
import type { IncomingPeering, OutgoingPeering, ProviderReport } from '../shared/api/peerings.ts';
import { waitingText } from '../shared/net/remapping.ts';
import { findCondition } from '../shared/conditions.ts';

export interface ClusterObjects {
  self: LocalCluster;
  remotes: readonly RemoteCluster[];
  outgoing: readonly OutgoingPeering[];
  incoming: readonly IncomingPeering[];
  tunnels: readonly Tunnel[];
  fabricNodes: readonly FabricNode[];
  offloadings: readonly NamespaceOffloading[];
  /** What could not be read, and why. */
  unreadable?: readonly string[];
}

export interface ConditionReport {
  type: string;
  status: Condition['status'];
  reason: string;
  since: string;
  message: string;
}

export interface TunnelReport {
  conditions: ConditionReport[];
  endpoint?: string;
  gatewayNode?: string;
  latestHandshake?: string;
  roundTripMilliseconds?: number;
  /** Of the last path probes. */
  probes?: { sent: number; lost: number };
  mtu: number;
  /** The largest packet that passed according to measurements. */
  pathMTU?: number;
  receivedBytes?: number;
  sentBytes?: number;
  /** Prefixes by which this cluster knows the remote's ranges, and the remote this cluster's. */
  remaps: { real: string; mapped: string; state: string }[];
  remoteRemaps: { real: string; mapped: string }[];
  /** Ranges of the remote that are not known here, or not as accepted by this cluster; one sentence each. */
  waitingRanges: string[];
  drops: Record<string, number>;
}

export interface PeeringReport {
  name: string;
  direction: 'Outgoing' | 'Incoming';
  remoteCluster: string;
  peering: string;
  desired: string;
  ready: boolean;
  deleting: boolean;
  conditions: ConditionReport[];
  controlPlane?: string;
  node?: string;
  tenantNamespace?: string;
  grant?: Grant;
  used?: { cpu: string; memory: string; pods: number };
  identity?: { expiresAt: string; renewAfter: string; apiServerURL: string };
  phases?: { name: string; at: string }[];
  createdAt?: string;
  tunnel?: TunnelReport;
  offloaded?: { namespace: string; twinNamespace?: string }[];
  /** The provider's latest report on the peering. */
  provider?: ProviderReport;
  residue: string[];
}

export interface StatusReport {
  cluster: {
    id?: string;
    version?: string;
    gatewayURL?: string;
    podCIDRs: string[];
    serviceCIDRs: string[];
    externalCIDR?: string;
    conditions: ConditionReport[];
  };
  nodes: {
    name: string;
    tunnelEndpoint?: string;
    programmed: boolean;
    message?: string;
    problems: string[];
  }[];
  peerings: PeeringReport[];
  /** What could not be read, and why. */
  unreadable: string[];
}

function conditionsOf(conditions: readonly Condition[] | undefined): ConditionReport[] {
  return (conditions ?? []).map(({ type, status, reason, lastTransitionTime, message }) => ({
    type,
    status,
    reason,
    since: lastTransitionTime,
    message,
  }));
}

/** Leaves out undefined fields, so that JSON and type agree. */
function present<T extends object>(object: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}

function tunnelReport(tunnel: Tunnel, nodes: readonly FabricNode[]): TunnelReport {
  const drops: Record<string, number> = {};
  for (const node of nodes) {
    for (const session of node.status?.sessions ?? []) {
      if (session.remoteCluster !== tunnel.spec.remoteCluster) continue;
      for (const [reason, count] of Object.entries(session.drops ?? {}))
        drops[reason] = (drops[reason] ?? 0) + count;
    }
  }
  const { status, spec } = tunnel;
  return present<TunnelReport>({
    conditions: conditionsOf(status?.conditions),
    endpoint: status?.endpoint,
    gatewayNode: status?.gatewayNode,
    latestHandshake: status?.latestHandshake,
    roundTripMilliseconds: status?.roundTripMilliseconds,
    probes: status?.probes,
    mtu: spec.mtu,
    pathMTU: status?.pathMTU,
    receivedBytes: status?.traffic?.receivedBytes,
    sentBytes: status?.traffic?.sentBytes,
    remaps: spec.remaps,
    remoteRemaps: spec.remoteRemaps,
    waitingRanges: (status?.waitingRanges ?? []).map((each) => waitingText(spec.remoteCluster, each)),
    drops,
  });
}

/** The two directions between a pair of clusters may differ: how this cluster dials, or how it serves. */
function controlPlaneOf({ spec }: RemoteCluster, direction: PeeringReport['direction']): string {
  if (direction === 'Outgoing') return spec.controlPlane;
  return spec.servesInBand === true ? 'InBand' : 'OutOfBand';
}

function common(peering: OutgoingPeering | IncomingPeering, objects: ClusterObjects) {
  const { metadata, spec, status } = peering;
  const tunnel = objects.tunnels.find((each) => each.spec.remoteCluster === spec.remoteCluster);
  const remote = objects.remotes.find((each) => each.spec.clusterID === spec.remoteCluster);
  return {
    name: metadata.name,
    remoteCluster: spec.remoteCluster,
    peering: spec.peering,
    desired: spec.desired,
    ready: findCondition(status?.conditions, 'Ready')?.status === 'True',
    deleting: metadata.deletionTimestamp !== undefined,
    conditions: conditionsOf(status?.conditions),
    controlPlane: remote && controlPlaneOf(remote, 'nodeName' in spec ? 'Outgoing' : 'Incoming'),
    tenantNamespace: status?.tenantNamespace,
    createdAt: metadata.creationTimestamp,
    tunnel: tunnel === undefined ? undefined : tunnelReport(tunnel, objects.fabricNodes),
    residue: status?.residue ?? [],
  };
}

function outgoingReport(peering: OutgoingPeering, objects: ClusterObjects): PeeringReport {
  const { spec, status } = peering;
  const offloaded = objects.offloadings.flatMap(({ metadata, status: offloading }) =>
    (offloading?.remotes ?? [])
      .filter((remote) => remote.peering === peering.metadata.name)
      .map((remote) =>
        present<{ namespace: string; twinNamespace?: string }>({
          namespace: metadata.namespace ?? '',
          twinNamespace: remote.twinNamespace,
        }),
      ),
  );
  return present<PeeringReport>({
    ...common(peering, objects),
    direction: 'Outgoing',
    node: spec.nodeName,
    grant: status?.grant,
    used: status?.providerReport?.state?.used,
    provider: status?.providerReport,
    identity:
      status?.identity === undefined
        ? undefined
        : {
            expiresAt: status.identity.expiresAt,
            renewAfter: status.identity.renewAfter,
            apiServerURL: status.identity.apiServerURL,
          },
    phases: status?.phases,
    offloaded,
  });
}

function incomingReport(peering: IncomingPeering, objects: ClusterObjects): PeeringReport {
  const { spec, status } = peering;
  return present<PeeringReport>({
    ...common(peering, objects),
    direction: 'Incoming',
    grant: spec.grant,
    used: status?.used,
    provider: undefined,
    node: undefined,
    identity: undefined,
    phases: undefined,
    offloaded: undefined,
  });
}

/** The report of all peerings, the outgoing first, each kind by name. */
export function statusReport(objects: ClusterObjects): StatusReport {
  const { self } = objects;
  const byName = (a: PeeringReport, b: PeeringReport) => a.name.localeCompare(b.name);
  return {
    cluster: present<StatusReport['cluster']>({
      id: self.status?.clusterID,
      version: self.status?.version,
      gatewayURL: self.status?.gatewayURL,
      podCIDRs: self.status?.podCIDRs ?? [],
      serviceCIDRs: self.status?.serviceCIDRs ?? [],
      externalCIDR: self.status?.externalCIDR,
      conditions: conditionsOf(self.status?.conditions),
    }),
    nodes: objects.fabricNodes.map(({ metadata, spec, status }) => {
      const programmed = findCondition(status?.conditions, 'Programmed');
      return present<StatusReport['nodes'][number]>({
        name: metadata.name,
        // The status of a lost node is stale, so the spec determines the holder.
        tunnelEndpoint: status?.heldTunnelEndpoint === spec.tunnelEndpoint ? spec.tunnelEndpoint : undefined,
        programmed: programmed?.status === 'True',
        message:
          programmed?.status === 'True'
            ? undefined
            : (programmed?.message ?? 'its node daemon has not reported yet'),
        problems: (status?.hostProblems ?? []).map(({ message }) => message),
      });
    }),
    unreadable: [...(objects.unreadable ?? [])],
    peerings: [
      ...objects.outgoing.map((peering) => outgoingReport(peering, objects)).toSorted(byName),
      ...objects.incoming.map((peering) => incomingReport(peering, objects)).toSorted(byName),
    ],
  };
}
