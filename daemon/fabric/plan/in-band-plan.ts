/** Which in-band listeners the node that holds a tunnel endpoint opens, and for whom. Pure. */
import { apiServerAddress, gatewayAddress } from '../../../shared/net/external-cidr.ts';
import type { InBandPlan } from '../ports.ts';
import type { PlanInput } from './input.ts';

/** Undefined, so that nothing listens, unless a remote reaches this cluster's control plane in-band. */
export function planInBand({ cluster, tunnels }: PlanInput): InBandPlan | undefined {
  if (cluster.externalCIDR === undefined) return undefined;
  const consumers = tunnels
    .filter(({ servesInBand }) => servesInBand)
    .map(({ remoteCluster, remotePodCIDRs, remaps }) => ({
      remoteCluster,
      ranges: remaps
        .filter(({ real }) => remotePodCIDRs.some((range) => range.text === real.text))
        .map(({ mapped }) => mapped.text),
    }));
  if (consumers.length === 0) return undefined;
  return {
    gateway: gatewayAddress(cluster.externalCIDR).address,
    apiServer: apiServerAddress(cluster.externalCIDR).address,
    consumers,
  };
}
