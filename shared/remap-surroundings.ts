/** What a choice of remappings has to keep away from: where the controller chooses, and where a person looks ahead. Pure. */
import type { LocalCluster } from './api/clusters.ts';
import type { FabricNode, Tunnel } from './api/network.ts';
import { readHosts, readRanges, type Host, type Range } from './net/cidr.ts';
import { defaultRemapPools, uniqueLocalPool, type RemapInput } from './net/remapping.ts';

/** Something that a node uses: see FabricNode.status.networks. */
export type NodeNetwork = NonNullable<NonNullable<FabricNode['status']>['networks']>[number];

export interface Surroundings {
  local: LocalCluster;
  remoteCluster: string;
  /** Addresses of this cluster's nodes; what is none is left out. */
  nodeAddresses: readonly string[];
  /** What the nodes report to use. */
  networks: readonly NodeNetwork[];
  /** Where the remote's tunnel ends, `host:port`. */
  endpoints: readonly string[];
  /** The tunnels to all other remotes. */
  others: readonly Tunnel[];
}

/** The part of the input of `planRemaps` that does not come of the remote. */
export function remapSurroundings(
  input: Surroundings,
): Pick<RemapInput, 'ownRanges' | 'protectedRanges' | 'accepted' | 'otherRanges' | 'pools'> {
  const { local, remoteCluster, nodeAddresses, networks, endpoints, others } = input;
  const { status, spec } = local;
  return {
    // What cannot be read is skipped: one bad entry of a person's must not stop the tunnels of everybody.
    ownRanges: [
      ...readRanges([
        ...(status?.podCIDRs ?? []),
        ...(status?.serviceCIDRs ?? []),
        ...(status?.nodeCIDRs ?? []),
        ...(status?.externalCIDR === undefined ? [] : [status.externalCIDR]),
        ...(spec.reservedCIDRs ?? []),
      ]),
      ...readHosts(nodeAddresses),
      // Packets of the tunnel itself must never be routed into it.
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

/** Where free ranges are taken from, in order of preference: said, or the default ones. */
export function remapPoolsOf({ spec, status }: LocalCluster): readonly string[] {
  return spec.remapPools?.length
    ? spec.remapPools
    : [...defaultRemapPools, uniqueLocalPool(status?.clusterID ?? '')];
}

/** What all nodes report to use, each once. */
export function networksOf(nodes: readonly FabricNode[]): NodeNetwork[] {
  const known = new Map<string, NodeNetwork>();
  for (const { status } of nodes) {
    for (const network of status?.networks ?? []) known.set(`${network.what} ${network.range}`, network);
  }
  return [...known.values()];
}

/** Of objects that caches hold, which never change: each is read once for all the remotes that keep away from it. */
const known = new WeakMap<Tunnel, Range[]>();

/** What a tunnel to another remote takes: its remaps, draining ones too, and its endpoints. */
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

/** Of `192.0.2.1:7470` and `[2001:db8::1]:7470`; names are none. */
function endpointHosts(endpoints: readonly string[]): Host[] {
  return readHosts(
    endpoints.map((endpoint) => endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '')),
  );
}
