/** Addresses of endpoints in the terms of the provider that gets them. Pure. */
import type { Tunnel } from '../../shared/api/network.ts';
import { toMapped, toReal } from '../../shared/net/address-mapping.ts';
import { anyContains, tryParseRange } from '../../shared/net/cidr.ts';

/** Undefined: the provider cannot reach it. */
export type Translate = (address: string) => string | undefined;

/**
 * A pod offloaded to this very provider has its real address there; a pod of this cluster has the address by which the
 * provider knows it. A pod at a third cluster has none yet, and what lies outside of all ranges never will.
 *
 * @param tunnel to the provider
 * @param others tunnels to all other remotes
 */
export function translatorFor(tunnel: Tunnel, others: readonly Tunnel[]): Translate {
  const elsewhere = others.flatMap((other) =>
    other.spec.remaps.flatMap((remap) => tryParseRange(remap.mapped) ?? []),
  );
  return (address) => {
    const there = toReal(tunnel.spec.remaps, address);
    if (there !== undefined) return there;
    if (anyContains(elsewhere, address)) return undefined;
    return toMapped(tunnel.spec.remoteRemaps, address);
  };
}
