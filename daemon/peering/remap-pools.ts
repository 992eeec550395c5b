/** The state of the pools for remapped ranges, as a condition of LocalCluster. Pure. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { FabricNode, Tunnel } from '../../shared/api/network.ts';
import type { Finding } from '../../shared/conditions.ts';
import { contains, overlaps, readRanges, tryParseRange } from '../../shared/net/cidr.ts';
import { networksOf, remapPoolsOf } from '../../shared/remap-surroundings.ts';
import { reasons } from './names.ts';

/** Maximum number of ranges named in a message. */
const mostNamed = 5;

/**
 * Whether the first pool suffices. The others are private ranges, which a network behind the default route may use, so a
 * person should check when one is in use.
 */
export function remapPoolFinding(
  local: LocalCluster,
  tunnels: readonly Tunnel[],
  fabricNodes: readonly FabricNode[],
): Finding {
  const type = 'RemapPoolFree';
  const pools = readRanges(remapPoolsOf(local));
  const preferred = pools.filter(
    (pool, index) => pools.findIndex(({ family }) => family === pool.family) === index,
  );
  const said = (local.spec.remapPools ?? []).length > 0;
  const beyond = tunnels.flatMap(({ spec }) =>
    spec.remaps.flatMap(({ real, mapped, state }) => {
      const range = tryParseRange(mapped);
      const fallenBack =
        !said &&
        state === 'InUse' &&
        real !== mapped &&
        range !== undefined &&
        !preferred.some((pool) => contains(pool, range));
      return fallenBack ? [`${real} of ${spec.remoteCluster} is remapped to ${mapped}`] : [];
    }),
  );
  const names = preferred.map(({ text }) => text).join(' and ');
  if (beyond.length > 0) {
    const more = beyond.length > mostNamed ? ` and ${beyond.length - mostNamed} more` : '';
    return {
      type,
      status: 'False',
      reason: reasons.RemapPoolExhausted,
      message: `the first pool (${names}) has no free range left: ${beyond.slice(0, mostNamed).join(', ')}${more}; check that no network of yours uses these addresses, add free ranges to spec.remapPools and ranges in use to spec.reservedCIDRs`,
    };
  }
  const used = [
    ...new Set(
      networksOf(fabricNodes)
        .filter(({ what }) => what === 'Route')
        .map(({ range }) => range),
    ),
  ].filter((text) => readRanges([text]).some((range) => preferred.some((pool) => overlaps(pool, range))));
  const without =
    used.length === 0 ? '' : ` (except ${used.slice(0, mostNamed).join(', ')}, to which nodes have routes)`;
  return {
    type,
    status: 'True',
    reason: reasons.RemapPoolFree,
    message: `ranges of remotes are remapped into ${names}${without}${said ? ', as spec.remapPools says' : ''}`,
  };
}
