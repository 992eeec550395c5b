/** The rules that isolate the pods of consumers on a node from everything else there. Pure. */
import { covers, type Host, type Range } from '../../../shared/net/cidr.ts';
import { forbiddenRanges, homeRanges } from '../../../shared/net/isolation.ts';
import type { IsolationPlan } from '../../host/plan.ts';
import type { PlanInput } from './input.ts';
import type { PlacedTunnel } from './remote-ranges.ts';

/**
 * The plan; undefined while no consumer has a twin namespace here, so that no rules are programmed.
 *
 * @param placed for each tunnel the ranges that are routed here; only they count as a consumer's home
 *
 * A pod runs for a second or two before Kubernetes reports its address. As soon as a twin namespace exists, therefore, an
 * address in this node's pod range that no pod is known to have is treated as a consumer's. A starting pod of this cluster
 * can still reach DNS and the internet, and everything else as soon as its address is known.
 */
export function planIsolation(input: PlanInput, placed: readonly PlacedTunnel[]): IsolationPlan | undefined {
  if (input.tenants.size === 0) return undefined;
  const here = input.pods.filter(({ node }) => node === input.node.name);
  const consumers = new Set(here.flatMap(({ namespace }) => input.tenants.get(namespace) ?? []));
  // An address that two pods claim belongs to the newer one, as everywhere in the fabric.
  const holders = new Map(
    here.flatMap(({ namespace, addresses }) =>
      addresses.map(
        (address) => [address.text, { address, consumer: input.tenants.get(namespace) }] as const,
      ),
    ),
  );
  const { podCIDRs, serviceCIDRs, nodeCIDRs, externalCIDR, apiServerAddresses } = input.cluster;
  const unknown = planUnknown(
    input.node.podCIDRs ?? [],
    [...holders.values()].map(({ address }) => address),
  );
  if (consumers.size === 0 && unknown === undefined) return undefined;
  const forbidden = forbiddenRanges({
    podCIDRs,
    serviceCIDRs,
    nodeCIDRs,
    externalCIDR,
    apiServerAddresses: apiServerAddresses ?? [],
  });
  const closed = forbidden.flatMap(({ ranges }) => ranges);
  return {
    tenants: [...consumers].map((remoteCluster) => {
      const own = [...holders.values()].filter(({ consumer }) => consumer === remoteCluster);
      const elsewhere = input.tenantPods.filter(
        ({ namespace, node }) => node !== input.node.name && input.tenants.get(namespace) === remoteCluster,
      );
      const addresses = own.map(({ address }) => address.address);
      return {
        remoteCluster,
        here: addresses,
        pods: [...addresses, ...elsewhere.flatMap((pod) => textsOf(pod.addresses))],
        home: placed
          .filter(({ tunnel }) => tunnel.remoteCluster === remoteCluster)
          .flatMap(({ tunnel, mapped }) =>
            homeRanges(
              tunnel.remaps.filter((remap) => mapped.some(({ text }) => text === remap.mapped.text)),
              closed,
            ).map(({ text }) => text),
          ),
        services: (
          input.tunnels.find((tunnel) => tunnel.remoteCluster === remoteCluster)?.remoteServiceCIDRs ?? []
        ).map(({ text }) => text),
      };
    }),
    resolvers: textsOf(input.resolvers),
    forbidden: forbidden.map(({ what, ranges }) => ({ what, ranges: ranges.map(({ text }) => text) })),
    ...(unknown !== undefined && { unknown }),
  };
}

const textsOf = (hosts: readonly Host[]): string[] => hosts.map(({ address }) => address);

/** Without effect where the network plugin does not assign pods addresses of their node's range. */
function planUnknown(podCIDRs: readonly Range[], known: readonly Host[]): IsolationPlan['unknown'] {
  const ofNode = podCIDRs.filter(({ family }) =>
    known.filter((address) => address.family === family).every((address) => covers(podCIDRs, address)),
  );
  return ofNode.length === 0 ? undefined : { ranges: ofNode.map(({ text }) => text), known: textsOf(known) };
}
