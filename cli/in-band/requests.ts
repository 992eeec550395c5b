/** What each side of an in-band peering is to know of the other, and what differs from it. Pure. */
import type { RemoteCluster, SignedDocument } from '../../shared/api/clusters.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import { toSeconds } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { followSuccessions } from '../../shared/trust/key-succession.ts';
import { readStoredDocument } from '../../shared/trust/network-documents.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import type { Side, Sides } from './sides.ts';

/** How long an attempt that nobody goes on with stays: as long as a token lives. */
const openSeconds = 15 * 60;

/** Fields of the RemoteCluster that the command writes. */
export type Request = Pick<
  RemoteCluster['spec'],
  | 'clusterID'
  | 'publicKey'
  | 'controlPlane'
  | 'gatewayPin'
  | 'gatewayPinSince'
  | 'servesInBand'
  | 'openUntil'
  | 'tunnelAddresses'
>;

export interface Requests {
  /** On the consumer, of the provider. */
  consumer: Request;
  /** On the provider, of the consumer. */
  provider: Request;
}

export function requestsOf(
  { consumer, provider }: Sides,
  endpoints: { provider: string | undefined; consumer: string | undefined },
  /** Absent: what is there stays as long as a peering needs it. */
  now: number | undefined,
): Requests {
  const opening = now === undefined ? {} : { openUntil: toSeconds(now + openSeconds * 1000) };
  const at = (endpoint: string | undefined) => endpoint !== undefined && { tunnelAddresses: [endpoint] };
  return {
    consumer: {
      ...identityOf(provider),
      controlPlane: 'InBand',
      gatewayPin: provider.status.gatewayPin,
      // From now on an older word about another certificate is none.
      gatewayPinSince: provider.status.gatewayPinSince,
      ...opening,
      ...at(endpoints.provider),
    },
    provider: {
      ...identityOf(consumer),
      // How the provider would dial the consumer is another peering's matter.
      controlPlane: 'OutOfBand',
      servesInBand: true,
      ...opening,
      ...at(endpoints.consumer),
    },
  };
}

const identityOf = ({ clusterID, publicKey }: Side) => ({ clusterID, publicKey });

export function newRemote(request: Request): RemoteCluster {
  return {
    apiVersion,
    kind: 'RemoteCluster',
    metadata: {
      name: request.clusterID,
      labels: { [labels.managedBy]: 'hawser-cli', [labels.remoteCluster]: request.clusterID },
    },
    spec: request,
  };
}

/** Whether the key by which a cluster is known is the one that it has, or one that its own statements lead on from. */
export function leadsTo({ spec }: RemoteCluster, { clusterID, publicKey, status }: Side): boolean {
  return followSuccessions(spec.publicKey, clusterID, status.keySuccessions) === publicKey;
}

/** What of a RemoteCluster is to be changed; undefined: nothing. How the provider dials the consumer is left alone. */
export function changesOf(request: Request, remote: RemoteCluster): Partial<Request> | undefined {
  const { clusterID: _id, publicKey: _key, controlPlane, ...rest } = request;
  const wanted: Partial<Request> = { ...rest, ...(controlPlane === 'InBand' && { controlPlane }) };
  const changes = Object.fromEntries(
    Object.entries(wanted).filter(
      ([field, value]) =>
        JSON.stringify(remote.spec[field as keyof RemoteCluster['spec']]) !== JSON.stringify(value),
    ),
  );
  return Object.keys(changes).length === 0 ? undefined : changes;
}

/** A document that this side's own API holds; undefined when there is none that can be read. */
export function readDocument(signed: SignedDocument | undefined): NetworkDocument | undefined {
  try {
    return signed && readStoredDocument(signed);
  } catch {
    return undefined;
  }
}

/** Whether a document is to take the place of the one that is held. */
export function isNewer(offered: SignedDocument | undefined, held: SignedDocument | undefined): boolean {
  const document = readDocument(offered);
  return document !== undefined && document.generation > (readDocument(held)?.generation ?? 0);
}

/** Whether each holds what the other declares now, and both have said so. */
export function isSettled(consumer: RemoteCluster, provider: RemoteCluster): boolean {
  return holds(consumer, provider) && holds(provider, consumer);
}

function holds(one: RemoteCluster, other: RemoteCluster): boolean {
  const declared = readDocument(other.status?.localDocument);
  const held = readDocument(one.spec.networkDocument);
  return (
    declared !== undefined &&
    held !== undefined &&
    // What the tunnel's plan adds is part of it.
    declared.remaps.length > 0 &&
    held.generation === declared.generation &&
    one.status?.remoteDocumentGeneration === held.generation
  );
}

/** Why a side refuses what it was given; undefined: it doesn't. */
export function refusalOf(remote: RemoteCluster): string | undefined {
  const bad = remote.status?.conditions?.find(
    ({ type, status, observedGeneration }) =>
      (type === 'Authenticated' || type === 'Compatible') &&
      status === 'False' &&
      observedGeneration === remote.metadata.generation,
  );
  return bad?.message;
}
