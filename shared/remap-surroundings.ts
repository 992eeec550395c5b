/** What a choice of remappings has to keep away from: where the controller chooses, and where a person looks ahead. Pure. */
import type { LocalCluster } from './api/clusters.ts';
import type { FabricNode, Tunnel } from './api/network.ts';
import { addressFamily, hostRange } from './net/cidr.ts';
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
    ownRanges: [
      ...(status?.podCIDRs ?? []),
      ...(status?.serviceCIDRs ?? []),
      ...(status?.nodeCIDRs ?? []),
      ...(status?.externalCIDR === undefined ? [] : [status.externalCIDR]),
      ...(spec.reservedCIDRs ?? []),
      ...nodeAddresses.filter(isAddress).map(hostRange),
      // Packets of the tunnel itself must never be routed into it.
      ...endpointRanges(endpoints),
      ...networks.flatMap(({ range, what }) => (what === 'Route' ? [range] : [])),
    ],
    protectedRanges: [
      ...(status?.apiServerAddresses ?? []).filter(isAddress).map(hostRange),
      ...networks.flatMap(({ range, what }) => (what === 'Route' ? [] : [range])),
    ],
    accepted: (spec.acceptedRemoteCIDRs ?? [])
      .filter((entry) => entry.remoteCluster === remoteCluster)
      .flatMap(({ cidrs }) => cidrs),
    otherRanges: others.flatMap((tunnel) => [
      ...tunnel.spec.remaps.map((remap) => remap.mapped),
      ...endpointRanges(
        tunnel.spec.remoteTunnelEndpoints.flatMap((tunnelEndpoint) => tunnelEndpoint.addresses),
      ),
    ]),
    pools: remapPoolsOf(local),
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

const isAddress = (text: string): boolean => addressFamily(text) !== undefined;

/** Of `192.0.2.1:7470` and `[2001:db8::1]:7470`; names are none. */
function endpointRanges(endpoints: readonly string[]): string[] {
  return endpoints
    .map((endpoint) => endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, ''))
    .filter(isAddress)
    .map(hostRange);
}
