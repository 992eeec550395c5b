/** Which ranges of remotes are routed here. Pure. */
import { overlaps, parseRange, readRanges, tryParseRange, type Range } from '../../shared/net/cidr.ts';
import type { World, WorldTunnel } from './world.ts';

export interface PlacedTunnel {
  tunnel: WorldTunnel;
  /** Ranges of it that can be routed here. */
  mapped: string[];
}

/** A remote range that meets what this cluster uses would cut it off from itself: it is never routed. */
export function placeTunnels(world: World, podRanges: readonly Range[], warnings: string[]): PlacedTunnel[] {
  const taken: { range: Range; what: string }[] = [
    ...podRanges.map((range) => ({ range, what: 'this cluster’s pods' })),
    ...readRanges(world.cluster.serviceCIDRs).map((range) => ({ range, what: 'this cluster’s Services' })),
    ...readRanges(world.cluster.nodeCIDRs).map((range) => ({ range, what: 'this cluster’s nodes' })),
    ...readRanges(world.cluster.externalCIDR === undefined ? [] : [world.cluster.externalCIDR]).map(
      (range) => ({
        range,
        what: 'this cluster’s external CIDR',
      }),
    ),
    ...[world.node, ...world.nodes].flatMap((other) =>
      readRanges(other.address === undefined ? [] : [other.address]).map((range) => ({
        range,
        what: `node ${other.name}`,
      })),
    ),
  ];
  return world.tunnels.map((tunnel) => {
    const mapped: string[] = [];
    for (const remap of tunnel.remaps) {
      const range = tryParseRange(remap.mapped);
      if (range === undefined) continue;
      const conflict = taken.find((other) => overlaps(other.range, range));
      if (conflict !== undefined) {
        if (remap.state === 'InUse') {
          warnings.push(
            `range ${range.text} of ${tunnel.remoteCluster} is not routed: it meets ${conflict.what}`,
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
