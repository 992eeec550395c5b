/** RemoteClusters at the provider: created at a consumer's first redemption, and updated with its network documents. */
import { remoteCluster, type RemoteCluster, type SignedDocument } from '../../shared/api/clusters.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import { Problem } from '../../shared/errors.ts';
import { isConflict } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import { labels } from '../../shared/names.ts';
import { openDocument, readStored } from '../../shared/trust/documents-cache.ts';
import { keyInForce } from '../../shared/trust/key-succession.ts';
import { NetworkDocumentError } from '../../shared/trust/network-documents.ts';
import type { IdentityRequest } from '../../shared/wire/gateway-api.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import { self, type Dependencies } from '../http/context.ts';

const ATTEMPTS = 5;

/** Facts that a consumer declares with its requests. */
export type RemoteFacts = Pick<IdentityRequest, 'version' | 'features' | 'networkDocument'>;

/** Verifies a document that `clusterID` sent to this cluster. Throws Problem. */
export function verifyDocument(
  dependencies: Dependencies,
  signed: SignedDocument,
  sender: { clusterID: string; publicKey: string },
): NetworkDocument {
  try {
    return openDocument(signed, {
      publicKey: sender.publicKey,
      sender: sender.clusterID,
      recipient: self(dependencies).clusterID,
    });
  } catch (error) {
    if (!(error instanceof NetworkDocumentError)) throw error;
    const field = error.field ? `networkDocument.payload.${error.field}` : 'networkDocument';
    throw new Problem(
      'invalid-document',
      `${error.message.slice(0, 1).toUpperCase()}${error.message.slice(1)}.`,
      {
        errors: [{ field: field.slice(0, 256), detail: error.reason }],
      },
    );
  }
}

/**
 * Creates the RemoteCluster of a consumer, or updates version, features and document of the existing one. Undefined if there is
 * one with another key, which stays unchanged.
 */
export async function ensureRemoteCluster(
  dependencies: Dependencies,
  consumer: { clusterID: string; publicKey: string },
  facts: RemoteFacts,
  signal: AbortSignal,
): Promise<RemoteCluster | undefined> {
  const { kube } = dependencies;
  for (let attempt = 1; ; attempt++) {
    try {
      const found = await kube.get({ kind: kind.remoteCluster, name: consumer.clusterID }, signal);
      if (found === undefined) return await kube.create(newRemoteCluster(consumer, facts), signal);
      if (keyInForce(found, facts.networkDocument) !== consumer.publicKey) return undefined;
      const spec = mergeFacts(withKey(found.spec, consumer.publicKey), facts);
      if (JSON.stringify(spec) === JSON.stringify(found.spec)) return found;
      if (attempt === 1) takeDeclaration(dependencies, consumer.clusterID);
      return await kube.replace({ ...found, spec }, {}, signal);
    } catch (error) {
      if (!isConflict(error) || attempt >= ATTEMPTS) throw error;
    }
  }
}

/**
 * Paces what a cluster declares: each change of its RemoteCluster lets the controller plan its tunnel and every node its routes
 * again. Throws Problem `too-many-requests`.
 */
function takeDeclaration({ declarations, clock, metrics }: Dependencies, clusterID: string): void {
  const wait = declarations.take(clusterID, clock());
  if (wait === 0) return;
  metrics.count(
    'hawser_api_declarations_refused_total',
    'Declarations of known clusters that came too often.',
  );
  throw new Problem(
    'too-many-requests',
    `${clusterID} declares changes of its network or version more often than this cluster takes them. Try again in ${wait} s.`,
    { retryAfterSeconds: wait },
  );
}

const withKey = (spec: RemoteCluster['spec'], publicKey: string): RemoteCluster['spec'] =>
  spec.publicKey === publicKey ? spec : { ...spec, publicKey };

function newRemoteCluster(
  consumer: { clusterID: string; publicKey: string },
  facts: RemoteFacts,
): RemoteCluster {
  return {
    apiVersion,
    kind: remoteCluster.kind,
    metadata: {
      name: consumer.clusterID,
      labels: { [labels.managedBy]: 'hawser-gateway', [labels.remoteCluster]: consumer.clusterID },
    },
    spec: {
      clusterID: consumer.clusterID,
      publicKey: consumer.publicKey,
      controlPlane: 'OutOfBand',
      version: facts.version,
      features: facts.features,
      ...(facts.networkDocument !== undefined && { networkDocument: facts.networkDocument }),
    },
  };
}

/** The spec with new values from `facts`, or the same reference if there are none. Only a newer document replaces the old one. */
export function mergeFacts(spec: RemoteCluster['spec'], facts: Partial<RemoteFacts>): RemoteCluster['spec'] {
  const merged = { ...spec };
  if (facts.version !== undefined) merged.version = facts.version;
  if (facts.features !== undefined) merged.features = facts.features;
  if (
    facts.networkDocument !== undefined &&
    compareDocuments(spec.networkDocument, facts.networkDocument) === 'Newer'
  )
    merged.networkDocument = facts.networkDocument;
  return JSON.stringify(merged) === JSON.stringify(spec) ? spec : merged;
}

export type DocumentVerdict = 'Newer' | 'Same' | 'Stale';

/** Whether a verified document is newer than the stored one. */
export function compareDocuments(held: SignedDocument | undefined, offered: SignedDocument): DocumentVerdict {
  if (held === undefined) return 'Newer';
  if (held.payload === offered.payload) return 'Same';
  const heldGeneration = generationOf(held);
  const offeredGeneration = generationOf(offered);
  return offeredGeneration !== undefined &&
    (heldGeneration === undefined || offeredGeneration > heldGeneration)
    ? 'Newer'
    : 'Stale';
}

/** Generation of a stored document; undefined if it is unreadable. */
export function generationOf(signed: SignedDocument): number | undefined {
  return readStored(signed)?.generation;
}

/** Stores a verified document, and the key that signed it, if it is newer, by compare-and-swap. Throws Problem for an older one. */
export async function storeDocument(
  dependencies: Dependencies,
  remote: RemoteCluster,
  publicKey: string,
  document: SignedDocument,
  signal: AbortSignal,
): Promise<void> {
  const { kube } = dependencies;
  let current = remote;
  for (let attempt = 1; ; attempt++) {
    const held = current.spec.networkDocument;
    const verdict = compareDocuments(held, document);
    if (verdict === 'Same' && current.spec.publicKey === publicKey) return;
    if (verdict === 'Stale') {
      const heldGeneration = held === undefined ? undefined : generationOf(held);
      throw new Problem(
        'stale-generation',
        `This cluster already holds generation ${heldGeneration ?? 'unknown'} of your network document. A changed document needs a higher generation.`,
        {
          errors: [
            {
              field: 'networkDocument',
              detail: 'Stale',
              allowed: `a generation above ${heldGeneration ?? 'the one held'}`,
            },
          ],
          extensions: { heldGeneration },
        },
      );
    }
    if (attempt === 1) takeDeclaration(dependencies, remote.spec.clusterID);
    try {
      await kube.replace(
        { ...current, spec: { ...current.spec, publicKey, networkDocument: document } },
        {},
        signal,
      );
      return;
    } catch (error) {
      if (!isConflict(error) || attempt >= ATTEMPTS) throw error;
    }
    const again = await kube.get({ kind: kind.remoteCluster, name: remote.metadata.name }, signal);
    // Recreated with another key in the meantime: the signature of this request is no longer valid.
    if (again === undefined || ![remote.spec.publicKey, publicKey].includes(again.spec.publicKey))
      throw new Problem('no-peering', 'The peering has ended.');
    current = again;
  }
}
