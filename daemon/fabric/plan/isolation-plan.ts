/** What keeps the pods of consumers that are on a node apart from all else there, computed from plain values. Pure. */
import { addressFamily, anyContains, readRanges } from '../../../shared/net/cidr.ts';
import { forbiddenRanges, homeRanges } from '../../../shared/net/isolation.ts';
import type { IsolationPlan } from '../../host/plan.ts';
import type { PlanInput } from './input.ts';
import type { PlacedTunnel } from './remote-ranges.ts';

/**
 * The plan; undefined while no consumer has a twin here: then nothing is in anybody's way.
 *
 * @param placed of each tunnel, the ranges that are routed here: no other range is a consumer's home
 *
 * A pod runs for a second or two before Kubernetes tells its address. So from the moment that there is a twin, before its
 * first pod, an address of this node's that nobody is known to have is taken for a consumer's; a pod of this cluster's own
 * that is just being started may ask the DNS and the world meanwhile, and the rest as soon as its address is known.
 */
export function planIsolation(input: PlanInput, placed: readonly PlacedTunnel[]): IsolationPlan | undefined {
  if (input.tenants.size === 0) return undefined;
  const here = input.pods.filter(({ node }) => node === input.node.name);
  const consumers = new Set(here.flatMap(({ namespace }) => input.tenants.get(namespace) ?? []));
  // What two pods claim is of the one that was made last, as everywhere in the fabric.
  const holders = new Map(
    here.flatMap(({ namespace, addresses }) =>
      usable(addresses).map((address) => [address, input.tenants.get(namespace)] as const),
    ),
  );
  const { podCIDRs, serviceCIDRs, nodeCIDRs, externalCIDR, apiServerAddresses } = input.cluster;
  const unknown = planUnknown(input.node.podCIDRs ?? [], [...holders.keys()]);
  if (consumers.size === 0 && unknown === undefined) return undefined;
  const forbidden = forbiddenRanges({
    podCIDRs,
    serviceCIDRs,
    nodeCIDRs,
    externalCIDR,
    apiServerAddresses,
  });
  const closed = forbidden.flatMap(({ ranges }) => ranges);
  return {
    tenants: [...consumers].map((remoteCluster) => {
      const own = [...holders].filter(([, consumer]) => consumer === remoteCluster);
      const elsewhere = input.tenantPods.filter(
        ({ namespace, node }) => node !== input.node.name && input.tenants.get(namespace) === remoteCluster,
      );
      const addresses = own.map(([address]) => address);
      return {
        remoteCluster,
        here: addresses,
        pods: [...addresses, ...elsewhere.flatMap((pod) => usable(pod.addresses))],
        home: placed
          .filter(({ tunnel }) => tunnel.remoteCluster === remoteCluster)
          .flatMap(({ tunnel, mapped }) =>
            homeRanges(
              tunnel.remaps.filter((remap) => mapped.includes(remap.mapped)),
              closed,
            ),
          ),
      };
    }),
    resolvers: usable(input.resolvers),
    forbidden,
    ...(unknown !== undefined && { unknown }),
  };
}

const usable = (addresses: readonly string[]): string[] =>
  addresses.filter((address) => addressFamily(address) !== undefined);

/** Where the network plugin does not give pods the addresses of their node's range, nothing can be said to be unknown. */
function planUnknown(podCIDRs: readonly string[], known: readonly string[]): IsolationPlan['unknown'] {
  const ranges = readRanges(podCIDRs);
  const ofNode = ranges.filter(({ family }) =>
    known
      .filter((address) => addressFamily(address) === family)
      .every((address) => anyContains(ranges, address)),
  );
  return ofNode.length === 0 ? undefined : { ranges: ofNode.map(({ text }) => text), known };
}
