/** Translates addresses of endpoints to those that a provider uses. Pure. */
import type { AddressMapping, Tunnel } from '../../shared/api/network.ts';
import { isTrue } from '../../shared/conditions.ts';
import { mappedHost, parseMappings, realHost } from '../../shared/net/address-mapping.ts';
import { covers, readRanges, tryParseHost } from '../../shared/net/cidr.ts';

/** Undefined if the provider cannot reach it. */
export type Translate = (address: string) => string | undefined;

/**
 * A pod offloaded to this provider has its real address there. A pod of this cluster has its remapped address. A pod at a
 * third cluster has its mapped address, once that is programmed. Addresses outside all ranges cannot be reached.
 *
 * @param tunnel to the provider
 * @param others tunnels to all other remotes
 */
export function translatorFor(
  tunnel: Tunnel,
  others: readonly Tunnel[],
  addressMappings: readonly AddressMapping[],
): Translate {
  const { remoteCluster } = tunnel.spec;
  const remaps = parseMappings(tunnel.spec.remaps);
  const remoteRemaps = parseMappings(tunnel.spec.remoteRemaps);
  const elsewhere = readRanges(others.flatMap(({ spec }) => spec.remaps.map(({ mapped }) => mapped)));
  const mappings = new Map(
    addressMappings
      .filter((each) => mayUse(each, remoteCluster))
      .map(({ spec }) => [spec.target, tryParseHost(spec.address)] as const),
  );
  return (address) => {
    const host = tryParseHost(address);
    if (host === undefined) return undefined;
    const there = realHost(remaps, host);
    if (there !== undefined) return there.address;
    const own = covers(elsewhere, host) ? mappings.get(address) : host;
    return own && mappedHost(remoteRemaps, own)?.address;
  };
}

/** Whether a mapped address may be announced: before it is programmed, or after its pod is gone, connections would fail. */
function mayUse({ metadata, spec, status }: AddressMapping, remoteCluster: string): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    spec.drainingSince === undefined &&
    spec.remoteClusters.includes(remoteCluster) &&
    isTrue(status?.conditions, 'Programmed')
  );
}
