/** Translates addresses of endpoints to those that a provider uses. Pure. */
import type { AddressMapping, Tunnel } from '../../shared/api/network.ts';
import { isTrue } from '../../shared/conditions.ts';
import { toMapped, toReal } from '../../shared/net/address-mapping.ts';
import { anyContains, tryParseRange } from '../../shared/net/cidr.ts';

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
  const { remoteCluster, remaps, remoteRemaps } = tunnel.spec;
  const elsewhere = others.flatMap((other) =>
    other.spec.remaps.flatMap((remap) => tryParseRange(remap.mapped) ?? []),
  );
  const mappings = new Map(
    addressMappings
      .filter((each) => mayUse(each, remoteCluster))
      .map(({ spec }) => [spec.target, spec.address] as const),
  );
  return (address) => {
    const there = toReal(remaps, address);
    if (there !== undefined) return there;
    const own = anyContains(elsewhere, address) ? mappings.get(address) : address;
    return own === undefined ? undefined : toMapped(remoteRemaps, own);
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
