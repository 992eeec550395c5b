/** The records that each side of an in-band peering needs about the other, and differences from them. Pure. */
import type { RemoteCluster, SignedDocument } from '../../shared/api/clusters.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import { toSeconds } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { followSuccessions } from '../../shared/trust/key-succession.ts';
import { readStoredDocument } from '../../shared/trust/network-documents.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import type { Side, Sides } from './sides.ts';

/** How long an attempt that is not continued is kept: as long as a token is valid. */
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
  | 'keepTunnelUntil'
  | 'tunnelAddresses'
>;

export interface Requests {
  /** Written at the consumer, about the provider. */
  consumer: Request;
  /** Written at the provider, about the consumer. */
  provider: Request;
}

export function requestsOf(
  { consumer, provider }: Sides,
  endpoints: { provider: string | undefined; consumer: string | undefined },
  /** Undefined: no expiry is set, and the objects live as long as a peering needs them. */
  now: number | undefined,
): Requests {
  const opening = now === undefined ? {} : { keepTunnelUntil: toSeconds(now + openSeconds * 1000) };
  const at = (endpoint: string | undefined) => endpoint !== undefined && { tunnelAddresses: [endpoint] };
  return {
    consumer: {
      ...identityOf(provider),
      controlPlane: 'InBand',
      gatewayPin: provider.status.gatewayPin,
      // Older statements about other certificates no longer count.
      gatewayPinSince: provider.status.gatewayPinSince,
      ...opening,
      ...at(endpoints.provider),
    },
    provider: {
      ...identityOf(consumer),
      // How the provider dials the consumer belongs to a peering in the opposite direction.
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

/** Whether the recorded key of a cluster is its present one, or one that signed succession statements lead on from. */
export function leadsTo({ spec }: RemoteCluster, { clusterID, publicKey, status }: Side): boolean {
  return followSuccessions(spec.publicKey, clusterID, status.keySuccessions) === publicKey;
}

/** The fields of a RemoteCluster to change; undefined: none. How the provider dials the consumer is left as it is. */
export function changesOf(request: Request, remote: RemoteCluster): Partial<Request> | undefined {
  const { clusterID: _id, publicKey: _key, controlPlane, ...rest } = request;
  const desired: Partial<Request> = { ...rest, ...(controlPlane === 'InBand' && { controlPlane }) };
  const changes = Object.fromEntries(
    Object.entries(desired).filter(
      ([field, value]) =>
        JSON.stringify(remote.spec[field as keyof RemoteCluster['spec']]) !== JSON.stringify(value),
    ),
  );
  return Object.keys(changes).length === 0 ? undefined : changes;
}

/** A document from this side's own API; undefined when it is absent or unreadable. */
export function readDocument(signed: SignedDocument | undefined): NetworkDocument | undefined {
  try {
    return signed && readStoredDocument(signed);
  } catch {
    return undefined;
  }
}

/** Whether a document replaces the recorded one. */
export function isNewer(offered: SignedDocument | undefined, held: SignedDocument | undefined): boolean {
  const document = readDocument(offered);
  return document !== undefined && document.generation > (readDocument(held)?.generation ?? 0);
}

/** Whether each side has recorded what the other declares now, and has acknowledged it. */
export function isSettled(consumer: RemoteCluster, provider: RemoteCluster): boolean {
  return holds(consumer, provider) && holds(provider, consumer);
}

function holds(one: RemoteCluster, other: RemoteCluster): boolean {
  const declared = readDocument(other.status?.localDocument);
  const held = readDocument(one.spec.networkDocument);
  return (
    declared !== undefined &&
    held !== undefined &&
    // The tunnel's plan adds the remaps to it.
    declared.remaps.length > 0 &&
    held.generation === declared.generation &&
    one.status?.remoteDocumentGeneration === held.generation
  );
}

/** Why a side refuses the document that it was given; undefined: it does not. */
export function refusalOf(remote: RemoteCluster): string | undefined {
  const bad = remote.status?.conditions?.find(
    ({ type, status, observedGeneration }) =>
      (type === 'Authenticated' || type === 'Compatible') &&
      status === 'False' &&
      observedGeneration === remote.metadata.generation,
  );
  return bad?.message;
}
