/** Addresses of endpoints in the terms of the provider that gets them. Pure. */
import type { AddressMapping, Tunnel } from '../../shared/api/network.ts';
import { isTrue } from '../../shared/conditions.ts';
import { toMapped, toReal } from '../../shared/net/address-mapping.ts';
import { anyContains, tryParseRange } from '../../shared/net/cidr.ts';

/** Undefined: the provider cannot reach it. */
export type Translate = (address: string) => string | undefined;

/**
 * A pod offloaded to this very provider has its real address there; a pod of this cluster has the address by which the
 * provider knows it; a pod at a third cluster the address mapped for it, once that works. What lies outside of all
 * ranges cannot be reached.
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

/** Whether it is announced to a provider: before it works, or once its pod is gone, connections would be lost. */
function mayUse({ metadata, spec, status }: AddressMapping, remoteCluster: string): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    spec.drainingSince === undefined &&
    spec.remoteClusters.includes(remoteCluster) &&
    isTrue(status?.conditions, 'Programmed')
  );
}
