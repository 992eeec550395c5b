/** Which remote ranges this node routes. Pure. */
import { contains, overlaps, type Range } from '../../../shared/net/cidr.ts';
import { metadataRanges } from '../../../shared/net/metadata.ts';
import type { PlanInput, InputTunnel } from './input.ts';

export interface PlacedTunnel {
  tunnel: InputTunnel;
  /** The remote's ranges that can be routed here. */
  mapped: Range[];
}

interface Named {
  range: Range;
  /** For people: `the API server`. */
  what: string;
}

const named = (what: string, ranges: readonly Range[]): Named[] => ranges.map((range) => ({ range, what }));

/** Addresses that this node needs, wherever they lie. */
export function neededRanges({ cluster, apiServer = [], resolvers }: PlanInput): Named[] {
  return [
    ...named('the API server', [...(cluster.apiServerAddresses ?? []), ...apiServer]),
    ...named('a resolver', resolvers),
    ...named('a metadata service', metadataRanges),
  ];
}

/**
 * A remote range that overlaps a range of this cluster would cut the cluster off from itself, and is not routed. Exception:
 * a remap chosen before the overlapping pod or Service range was declared stays routed until its reassignment is approved,
 * as long as no known pod of this cluster has an address in it.
 */
export function placeTunnels(input: PlanInput, warnings: string[]): PlacedTunnel[] {
  const { cluster } = input;
  const ownNamed = (what: string, ranges: readonly Range[]) =>
    named(what, ranges).map((each) => ({ ...each, declared: true }));
  const taken: (Named & { declared?: boolean })[] = [
    ...ownNamed('this cluster’s pods', cluster.podCIDRs),
    ...ownNamed('this cluster’s Services', cluster.serviceCIDRs),
    ...named('this cluster’s nodes', cluster.nodeCIDRs),
    ...named(
      'this cluster’s external CIDR',
      cluster.externalCIDR === undefined ? [] : [cluster.externalCIDR],
    ),
    ...[input.node, ...input.nodes].flatMap(({ name, address }) =>
      named(`node ${name}`, address === undefined ? [] : [address]),
    ),
    ...neededRanges(input),
  ];
  const ownPods = input.pods
    .filter(({ node }) => !input.virtualNodes.has(node))
    .flatMap(({ addresses }) => addresses);
  return input.tunnels.map((tunnel) => {
    const mapped: Range[] = [];
    for (const remap of tunnel.remaps) {
      const range = remap.mapped;
      const met = taken.filter((other) => overlaps(other.range, range));
      const conflict = met.find(({ declared }) => declared !== true) ?? met[0];
      const free =
        remap.held === true &&
        conflict?.declared === true &&
        !ownPods.some((address) => contains(range, address));
      if (conflict !== undefined && !free) {
        if (remap.state === 'InUse') {
          warnings.push(
            `range ${range.text} of ${tunnel.remoteCluster} is not routed: it overlaps ${conflict.what}`,
          );
        }
        continue;
      }
      mapped.push(range);
    }
    taken.push(...named(tunnel.remoteCluster, mapped));
    return { tunnel, mapped };
  });
}
