/** Network documents signed directly in a consumer's name, in place of its controller. */
import type { Tunnel } from '../../shared/api/network.ts';
import type { SignedDocument } from '../../shared/api/clusters.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import { listed } from '../support/api-objects.ts';
import type { AttackBed } from './bed.ts';
import { ownDocument, signedBy, type Party } from './party.ts';

let latest = 0;

/** Higher than all earlier ones, and than those of the consumer's own controller, which start at seconds since 1970. */
export function nextGeneration(): number {
  latest = Math.max(latest + 1, Date.now());
  return latest;
}

/** Sends the consumer's own document with further ranges or other changes; returns it as signed. */
export async function declare(
  { signal }: Pick<AttackBed, 'signal'>,
  party: Party,
  generation: number,
  ranges: readonly string[],
  more: Partial<NetworkDocument> = {},
): Promise<SignedDocument> {
  const { document } = await ownDocument(party);
  const { contentGeneration: _, ...rest } = document;
  const signed = signedBy(party, {
    ...rest,
    generation,
    podCIDRs: [...document.podCIDRs, ...ranges],
    ...more,
  });
  await party.gateway.putParameters(signed, { signal });
  return signed;
}

/** The provider's Tunnel to a consumer. */
export async function tunnelOf({ provider }: Pick<AttackBed, 'provider'>, party: Party): Promise<Tunnel> {
  const found = (await listed(provider, 'tunnels')).find(({ spec }) => spec.remoteCluster === party.id);
  if (found === undefined) throw new Error(`the provider has no Tunnel of ${party.id}`);
  return found;
}
