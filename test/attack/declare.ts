/** Network documents that a consumer signs by hand, in the place of its own controller. */
import type { Tunnel } from '../../shared/api/network.ts';
import type { SignedDocument } from '../../shared/api/clusters.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import { listed } from '../support/api-objects.ts';
import type { AttackBed } from './bed.ts';
import { ownDocument, signedBy, type Party } from './party.ts';

let latest = 0;

/** Higher than every one before, and than those of the consumer's own controller, which begin at seconds since 1970. */
export function nextGeneration(): number {
  latest = Math.max(latest + 1, Date.now());
  return latest;
}

/** Puts the consumer's own document with further ranges, or with other changes, and returns it as it was signed. */
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

/** A consumer's Tunnel at the provider. */
export async function tunnelOf({ provider }: Pick<AttackBed, 'provider'>, party: Party): Promise<Tunnel> {
  const found = (await listed(provider, 'tunnels')).find(({ spec }) => spec.remoteCluster === party.id);
  if (found === undefined) throw new Error(`the provider has no Tunnel of ${party.id}`);
  return found;
}
