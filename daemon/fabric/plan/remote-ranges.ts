/** Which remote ranges this node routes. Pure. */
import {
  anyContains,
  overlaps,
  parseRange,
  readRanges,
  tryParseRange,
  type Range,
} from '../../../shared/net/cidr.ts';
import { metadataRanges } from '../../../shared/net/metadata.ts';
import type { NeededRange } from '../../host/plan.ts';
import type { PlanInput, InputTunnel } from './input.ts';

export interface PlacedTunnel {
  tunnel: InputTunnel;
  /** The remote's ranges that can be routed here. */
  mapped: string[];
}

/** Addresses that this node needs, wherever they lie. */
export function neededRanges({ cluster, apiServer = [], resolvers }: PlanInput): NeededRange[] {
  const named = (what: string, addresses: readonly string[]) =>
    readRanges(addresses).map(({ text }): NeededRange => ({ range: text, what }));
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
export function placeTunnels(
  input: PlanInput,
  podRanges: readonly Range[],
  warnings: string[],
): PlacedTunnel[] {
  const taken: { range: Range; what: string; declared?: boolean }[] = [
    ...podRanges.map((range) => ({ range, what: 'this cluster’s pods', declared: true })),
    ...readRanges(input.cluster.serviceCIDRs).map((range) => ({
      range,
      what: 'this cluster’s Services',
      declared: true,
    })),
    ...readRanges(input.cluster.nodeCIDRs).map((range) => ({ range, what: 'this cluster’s nodes' })),
    ...readRanges(input.cluster.externalCIDR === undefined ? [] : [input.cluster.externalCIDR]).map(
      (range) => ({
        range,
        what: 'this cluster’s external CIDR',
      }),
    ),
    ...[input.node, ...input.nodes].flatMap((other) =>
      readRanges(other.address === undefined ? [] : [other.address]).map((range) => ({
        range,
        what: `node ${other.name}`,
      })),
    ),
    ...neededRanges(input).map(({ range, what }) => ({ range: parseRange(range), what })),
  ];
  const ownPods = input.pods
    .filter(({ node }) => !input.virtualNodes.has(node))
    .flatMap(({ addresses }) => addresses);
  return input.tunnels.map((tunnel) => {
    const mapped: string[] = [];
    for (const remap of tunnel.remaps) {
      const range = tryParseRange(remap.mapped);
      if (range === undefined) continue;
      const met = taken.filter((other) => overlaps(other.range, range));
      const conflict = met.find(({ declared }) => declared !== true) ?? met[0];
      const free =
        remap.held === true &&
        conflict?.declared === true &&
        !ownPods.some((address) => anyContains([range], address));
      if (conflict !== undefined && !free) {
        if (remap.state === 'InUse') {
          warnings.push(
            `range ${range.text} of ${tunnel.remoteCluster} is not routed: it overlaps ${conflict.what}`,
          );
        }
        continue;
      }
      mapped.push(range.text);
    }
    for (const text of mapped) taken.push({ range: parseRange(text), what: tunnel.remoteCluster });
    return { tunnel, mapped };
  });
}
