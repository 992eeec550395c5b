/** What a choice of remappings has to keep away from: where the controller chooses, and where a person looks ahead. Pure. */
import type { LocalCluster } from './api/clusters.ts';
import type { Tunnel } from './api/network.ts';
import { addressFamily, hostRange } from './net/cidr.ts';
import { defaultRemapPools, uniqueLocalPool, type RemapInput } from './net/remapping.ts';

export interface Surroundings {
  local: LocalCluster;
  /** Addresses of this cluster's nodes; what is none is left out. */
  nodeAddresses: readonly string[];
  /** Where the remote's tunnel ends, `host:port`. */
  endpoints: readonly string[];
  /** The tunnels to all other remotes. */
  others: readonly Tunnel[];
}

/** The part of the input of `planRemaps` that does not come of the remote. */
export function remapSurroundings(
  input: Surroundings,
): Pick<RemapInput, 'ownRanges' | 'otherRanges' | 'pools'> {
  const { local, nodeAddresses, endpoints, others } = input;
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
    ],
    otherRanges: others.flatMap((tunnel) => [
      ...tunnel.spec.remaps.map((remap) => remap.mapped),
      ...endpointRanges(
        tunnel.spec.remoteTunnelEndpoints.flatMap((tunnelEndpoint) => tunnelEndpoint.addresses),
      ),
    ]),
    pools: spec.remapPools?.length
      ? spec.remapPools
      : [...defaultRemapPools, uniqueLocalPool(status?.clusterID ?? '')],
  };
}

const isAddress = (text: string): boolean => addressFamily(text) !== undefined;

/** Of `192.0.2.1:7470` and `[2001:db8::1]:7470`; names are none. */
function endpointRanges(endpoints: readonly string[]): string[] {
  return endpoints
    .map((endpoint) => endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, ''))
    .filter(isAddress)
    .map(hostRange);
}
