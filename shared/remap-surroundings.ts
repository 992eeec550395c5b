/** The ranges that a choice of remaps must avoid, for the controller and for the preview of the command. Pure. */
import type { LocalCluster } from './api/clusters.ts';
import type { FabricNode, Tunnel } from './api/network.ts';
import { readHosts, readRanges, type Host, type Range } from './net/cidr.ts';
import { defaultRemapPools, uniqueLocalPool, type RemapInput } from './net/remapping.ts';

/** A network that a node uses: see FabricNode.status.networks. */
export type NodeNetwork = NonNullable<NonNullable<FabricNode['status']>['networks']>[number];

export interface Surroundings {
  local: LocalCluster;
  remoteCluster: string;
  /** Addresses of this cluster's nodes; texts that are no address are ignored. */
  nodeAddresses: readonly string[];
  /** The networks that the nodes report. */
  networks: readonly NodeNetwork[];
  /** The remote's tunnel endpoints, `host:port`. */
  endpoints: readonly string[];
  /** The tunnels to all other remotes. */
  others: readonly Tunnel[];
}

/** The part of the input of `planRemaps` that is independent of the remote. */
export function remapSurroundings(
  input: Surroundings,
): Pick<RemapInput, 'ownRanges' | 'protectedRanges' | 'accepted' | 'otherRanges' | 'pools'> {
  const { local, remoteCluster, nodeAddresses, networks, endpoints, others } = input;
  const { status, spec } = local;
  return {
    // Unreadable texts are skipped: one wrong entry of an administrator must not stop all tunnels.
    ownRanges: [
      ...readRanges([
        ...(status?.podCIDRs ?? []),
        ...(status?.serviceCIDRs ?? []),
        ...(status?.nodeCIDRs ?? []),
        ...(status?.externalCIDR === undefined ? [] : [status.externalCIDR]),
        ...(spec.reservedCIDRs ?? []),
      ]),
      ...readHosts(nodeAddresses),
      // The tunnel's own packets must never be routed into it.
      ...endpointHosts(endpoints),
      ...readRanges(networks.flatMap(({ range, what }) => (what === 'Route' ? [range] : []))),
    ],
    protectedRanges: [
      ...readHosts(status?.apiServerAddresses ?? []),
      ...readRanges(networks.flatMap(({ range, what }) => (what === 'Route' ? [] : [range]))),
    ],
    accepted: readRanges(
      (spec.acceptedRemoteCIDRs ?? [])
        .filter((entry) => entry.remoteCluster === remoteCluster)
        .flatMap(({ cidrs }) => cidrs),
    ),
    otherRanges: others.flatMap(rangesOf),
    pools: readRanges(remapPoolsOf(local)),
  };
}

/** Pools of free ranges, in order of preference: configured or default ones. */
export function remapPoolsOf({ spec, status }: LocalCluster): readonly string[] {
  return spec.remapPools?.length
    ? spec.remapPools
    : [...defaultRemapPools, uniqueLocalPool(status?.clusterID ?? '')];
}

/** The networks that all nodes report, each once. */
export function networksOf(nodes: readonly FabricNode[]): NodeNetwork[] {
  const known = new Map<string, NodeNetwork>();
  for (const { status } of nodes) {
    for (const network of status?.networks ?? []) known.set(`${network.what} ${network.range}`, network);
  }
  return [...known.values()];
}

/** Keyed by cached objects, which never change: each Tunnel is parsed once for all remotes. */
const known = new WeakMap<Tunnel, Range[]>();

/** The ranges of a tunnel to another remote: its remaps, including draining ones, and its endpoints. */
function rangesOf(tunnel: Tunnel): Range[] {
  let ranges = known.get(tunnel);
  if (ranges === undefined) {
    const { remaps, remoteTunnelEndpoints } = tunnel.spec;
    ranges = [
      ...readRanges(remaps.map(({ mapped }) => mapped)),
      ...endpointHosts(remoteTunnelEndpoints.flatMap(({ addresses }) => addresses)),
    ];
    known.set(tunnel, ranges);
  }
  return ranges;
}

/** The addresses of `192.0.2.1:7470` and `[2001:db8::1]:7470`; DNS names are skipped. */
function endpointHosts(endpoints: readonly string[]): Host[] {
  return readHosts(
    endpoints.map((endpoint) => endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '')),
  );
}
