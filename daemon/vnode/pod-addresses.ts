/** Translates the reported addresses of an offloaded pod to those that this cluster uses. Pure. */
import type { Tunnel } from '../../shared/api/network.ts';
import { anyContains, normalizeAddress, tryParseRange } from '../../shared/net/cidr.ts';
import { toMapped, toReal } from '../../shared/net/address-mapping.ts';
import type { Pod } from '../../shared/kube/types.ts';
import { list, text } from './untrusted.ts';

export interface AddressInput {
  pod: Pod;
  provider: string;
  tunnel: Pick<Tunnel['spec'], 'remaps' | 'remotePodCIDRs'> | undefined;
  /** Whether another pod of this cluster has the address. */
  isTaken: (address: string) => boolean;
}

/**
 * Addresses as this cluster knows them, if they lie in the provider's declared ranges and belong to no other pod.
 *
 * @param remote PodStatus from the provider
 */
export function acceptedAddresses(
  input: AddressInput,
  remote: Record<string, unknown>,
): { list: string[]; problem: string | undefined } {
  const reported = [
    text(remote['podIP'], 45),
    ...list(remote['podIPs'])
      .slice(0, 2)
      .map((each) => text(each['ip'], 45)),
  ].filter((address) => address !== undefined);
  const accepted: string[] = [];
  for (const address of new Set(reported)) {
    const mapped = input.tunnel && (keptName(input, address) ?? mappedPod(input.tunnel, address));
    if (mapped === undefined) {
      return {
        list: [],
        problem: `The provider ${input.provider} reports the address ${address}, which is outside the pod ranges that it declares (${input.tunnel?.remotePodCIDRs.join(', ') ?? 'no tunnel yet'}).`,
      };
    }
    const canonical = normalizeAddress(mapped);
    if (input.isTaken(canonical)) {
      return {
        list: [],
        problem: `The provider ${input.provider} reports the address ${address} (here ${canonical}), which belongs to another pod of this cluster.`,
      };
    }
    if (!accepted.includes(canonical)) accepted.push(canonical);
  }
  return { list: accepted, problem: undefined };
}

/**
 * The pod's current address, if it still stands for the reported one: while a range gets another remap, its running pods keep
 * their addresses.
 */
function keptName({ pod, tunnel }: AddressInput, address: string): string | undefined {
  if (tunnel === undefined || mappedPod(tunnel, address) === undefined) return undefined;
  const held = (pod.status?.podIPs ?? []).map(({ ip }) => ip);
  return held.find((ip) => {
    const real = toReal(tunnel.remaps, ip);
    return real !== undefined && normalizeAddress(real) === normalizeAddress(address);
  });
}

/** The address as this cluster knows it, if it lies in a pod range that the provider declares. */
function mappedPod(tunnel: NonNullable<AddressInput['tunnel']>, address: string): string | undefined {
  const declared = tunnel.remotePodCIDRs.flatMap((range) => tryParseRange(range) ?? []);
  return anyContains(declared, address) ? toMapped(tunnel.remaps, address) : undefined;
}
