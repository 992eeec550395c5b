/**
 * This cluster's network document for one remote. Pure.
 *
 * A generation is new only when content is. `acknowledges` is no content, or two clusters would acknowledge each other's
 * acknowledgements for ever: a document is made for an acknowledgement alone only when the remote's content is new. So
 * the field `contentGeneration` tells since which generation all but `acknowledges` has been the same.
 */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import { contentGeneration, type NetworkDocument } from '../../shared/wire/network-document.ts';
import { stableText } from '../kube/status.ts';
import type { Offer } from './offer.ts';

export interface ComposeInput {
  local: NonNullable<LocalCluster['status']>;
  /** Cluster key that will sign it. */
  publicKey: string;
  recipient: string;
  /** What was composed last, if it can be read. */
  previous: NetworkDocument | undefined;
  /** The remote's document that is held and valid. */
  remote: NetworkDocument | undefined;
  tunnel: Tunnel | undefined;
  /** What this cluster offers beside its network, when the recipient offloads to it. */
  offer: Offer;
  /** A new one, for a remote that had none. 32 bytes, base64. */
  newSalt: () => string;
  /** Milliseconds since 1970. */
  now: number;
}

export type ComposeResult =
  | { document: NetworkDocument; changed: boolean }
  /** What is not known yet, as part of a sentence. */
  | { waitingFor: string };

/** A clock that is further ahead than ten years is none that anybody had. */
const furthestAheadSeconds = 315_360_000;

/** Composes, or gives the previous document back when nothing is new. */
export function composeDocument(input: ComposeInput): ComposeResult {
  const { local, publicKey, recipient, previous, remote, tunnel, offer, newSalt, now } = input;
  if (local.clusterID === undefined) return { waitingFor: 'this cluster’s ID' };
  if (!local.podCIDRs?.length)
    return { waitingFor: 'this cluster’s pod ranges (LocalCluster self, spec.podCIDRs)' };
  if (local.externalCIDR === undefined) return { waitingFor: 'this cluster’s external range' };
  const content = {
    version: 1 as const,
    clusterID: local.clusterID,
    publicKey,
    recipient,
    requires: [],
    podCIDRs: local.podCIDRs.slice(0, 16),
    externalCIDR: local.externalCIDR,
    mtu: tunnel?.spec.mtu ?? local.mtu ?? 1420,
    tunnelEndpoints: (local.tunnelEndpoints ?? []).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    remaps: (tunnel?.spec.remaps ?? [])
      .filter(({ state }) => state === 'InUse')
      .map(({ real, mapped }) => ({ real, mapped })),
    salt: previous?.salt ?? newSalt(),
    ...offer,
  };
  const acknowledges =
    remote === undefined
      ? 0
      : previous !== undefined && previous.acknowledges >= contentGeneration(remote)
        ? previous.acknowledges
        : remote.generation;
  const same = previous !== undefined && stableText(contentOf(previous)) === stableText(content);
  if (previous !== undefined && same && previous.acknowledges === acknowledges) {
    return { document: previous, changed: false };
  }
  // Seconds of the clock, so that a generation is new even if what was composed before is lost; and more than the remote
  // says to have, if its clock was ahead.
  const seconds = Math.floor(now / 1000);
  const claimed = remote?.acknowledges ?? 0;
  const generation = Math.max(
    (previous?.generation ?? 0) + 1,
    // A remote that claims the highest number there is would leave none for what comes after.
    claimed > seconds + furthestAheadSeconds ? 0 : claimed + 1,
    seconds,
  );
  return {
    changed: true,
    document: {
      ...content,
      generation,
      acknowledges,
      contentGeneration: previous !== undefined && same ? contentGeneration(previous) : generation,
    },
  };
}

function contentOf(document: NetworkDocument): Record<string, unknown> {
  const {
    generation: _generation,
    acknowledges: _acknowledges,
    contentGeneration: _since,
    ...content
  } = document;
  return content;
}

/** Does the remote hold what we declare now? `delivered`: the generation that it took by our own hand. */
export function holdsOurs(
  ours: NetworkDocument,
  remote: NetworkDocument | undefined,
  delivered: number,
): boolean {
  return Math.max(remote?.acknowledges ?? 0, delivered) >= contentGeneration(ours);
}
