/**
 * This cluster's network document for one remote. Pure.
 *
 * The generation changes only with the content. `acknowledges` does not count as content, or two clusters would acknowledge
 * each other's acknowledgements forever: a document with only a new acknowledgement is composed when the remote's content
 * is new. Therefore `contentGeneration` names the generation since which everything but `acknowledges` is unchanged.
 */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import { contentGeneration, type NetworkDocument } from '../../shared/wire/network-document.ts';
import { stableText } from '../kube/status.ts';
import type { Offer } from './offer.ts';

export interface ComposeInput {
  local: NonNullable<LocalCluster['status']>;
  /** Cluster key that signs it. */
  publicKey: string;
  recipient: string;
  /** The last composed document, if it is readable. */
  previous: NetworkDocument | undefined;
  /** The stored valid document of the remote. */
  remote: NetworkDocument | undefined;
  tunnel: Tunnel | undefined;
  /** The offer besides the network, if the recipient offloads to this cluster. */
  offer: Offer;
  /** A new salt for a remote without one. 32 bytes, base64. */
  newSalt: () => string;
  /** Milliseconds since 1970. */
  now: number;
}

export type ComposeResult =
  | { document: NetworkDocument; changed: boolean }
  /** What is still missing, as part of a sentence. */
  | { waitingFor: string };

/** A clock more than ten years ahead is not plausible. */
const furthestAheadSeconds = 315_360_000;

/** Composes a document, or returns the previous one when nothing is new. */
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
    ...(local.serviceCIDRs?.length && { serviceCIDRs: local.serviceCIDRs.slice(0, 16) }),
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
  // Seconds of the clock, so that the generation is new even if the previous document is lost; and higher than the
  // generation that the remote acknowledges, in case the clock was ahead then.
  const seconds = Math.floor(now / 1000);
  const claimed = remote?.acknowledges ?? 0;
  const generation = Math.max(
    (previous?.generation ?? 0) + 1,
    // A remote that claims the highest possible number would leave none for later documents.
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

/** Whether the remote has our current document. `delivered`: the generation that this cluster delivered itself. */
export function holdsOurs(
  ours: NetworkDocument,
  remote: NetworkDocument | undefined,
  delivered: number,
): boolean {
  return Math.max(remote?.acknowledges ?? 0, delivered) >= contentGeneration(ours);
}
