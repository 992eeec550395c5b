/** Reconciles RemoteClusters on both sides: verifies the remote's document, and composes our document for it. */
import { randomBytes } from 'node:crypto';
import type { RemoteCluster, SignedDocument } from '../../shared/api/clusters.ts';
import { toSeconds, type Finding } from '../../shared/conditions.ts';
import { validateDeclaredRanges } from '../../shared/net/declared-ranges.ts';
import { keyInForce } from '../../shared/trust/key-succession.ts';
import { openDocument, readStored } from '../../shared/trust/documents-cache.ts';
import { NetworkDocumentError, signNetworkDocument } from '../../shared/trust/network-documents.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { isUnreferenced, openingMilliseconds } from '../peers/references.ts';
import { kind } from '../../shared/kube/refs.ts';
import { applyStatus } from '../kube/status.ts';
import type { LocalIdentity } from '../peers/local-identity.ts';
import { withSuccessions } from './cluster-key.ts';
import { composeDocument, holdsOurs } from './compose-document.ts';
import { fieldManager, reasons } from './names.ts';
import { offerTo } from './offer.ts';
import type { Caches } from './caches.ts';

/** A remote's valid document, or why it is invalid. */
export type DocumentCheck =
  | { verdict: 'None' }
  | { verdict: 'Valid'; document: NetworkDocument }
  | { verdict: 'KeyMismatch' | 'Invalid' | 'NotUnderstood'; message: string };

/** Verifies and validates a remote's document. Pure except for asynchronous cryptography. */
export function verifyRemoteDocument(
  signed: SignedDocument | undefined,
  sender: { clusterID: string; publicKey: string },
  recipient: string,
): DocumentCheck {
  if (signed === undefined) return { verdict: 'None' };
  try {
    const document = openDocument(signed, {
      publicKey: sender.publicKey,
      sender: sender.clusterID,
      recipient,
    });
    const problems = validateDeclaredRanges(document);
    return problems.length === 0
      ? { verdict: 'Valid', document }
      : { verdict: 'Invalid', message: problems.slice(0, 5).join('; ') };
  } catch (error) {
    if (!(error instanceof NetworkDocumentError)) throw error;
    const verdict =
      error.reason === 'BadSignature'
        ? 'KeyMismatch'
        : error.reason === 'NotUnderstood'
          ? 'NotUnderstood'
          : 'Invalid';
    return { verdict, message: error.message };
  }
}

/** Conditions of a RemoteCluster. Pure. */
export function remoteFindings(
  remote: RemoteCluster,
  check: DocumentCheck,
  waitingFor: string | undefined,
): Finding[] {
  const name = remote.spec.clusterID;
  const none = check.verdict === 'None';
  const authenticated: Finding = {
    type: 'Authenticated',
    ...(check.verdict === 'KeyMismatch'
      ? {
          status: 'False',
          reason: reasons.KeyMismatch,
          message: `${check.message}; if the remote has a new cluster key, peer again`,
        }
      : none
        ? {
            status: 'Unknown',
            reason: reasons.WaitingForDocument,
            message: `waiting for the first network document of ${name}`,
          }
        : {
            status: 'True',
            reason: reasons.DocumentVerified,
            message: `the network document is signed by the known key of ${name}`,
          }),
  };
  const compatible: Finding = {
    type: 'Compatible',
    ...(check.verdict === 'NotUnderstood'
      ? { status: 'False', reason: reasons.NotUnderstood, message: check.message }
      : check.verdict === 'Invalid'
        ? {
            status: 'False',
            reason: reasons.DocumentInvalid,
            message: `the network document of ${name} cannot be used: ${check.message}`,
          }
        : check.verdict === 'Valid'
          ? {
              status: 'True',
              reason: reasons.Compatible,
              message: `the network document of ${name} is valid`,
            }
          : {
              status: 'Unknown',
              reason: reasons.WaitingForDocument,
              message: `waiting for the network document of ${name}`,
            }),
  };
  const worst = [authenticated, compatible].find((each) => each.status !== 'True');
  return [
    authenticated,
    compatible,
    {
      type: 'Ready',
      status: worst === undefined && waitingFor === undefined ? 'True' : 'False',
      reason: worst?.reason ?? (waitingFor === undefined ? reasons.Ready : reasons.WaitingForLocalCluster),
      message:
        worst?.message ??
        (waitingFor === undefined
          ? `${name} is authenticated, and its network document is valid`
          : `waiting for ${waitingFor}`),
    },
  ];
}

/** The condition DocumentsAccepted: whether the remote's new documents are accepted. The stored one stays in use otherwise. */
export function documentsFinding(
  name: string,
  refused: { count: number; at: number; message: string } | undefined,
): Finding {
  const type = 'DocumentsAccepted';
  return refused === undefined
    ? {
        type,
        status: 'True',
        reason: reasons.Accepted,
        message: `no network document of ${name} was refused`,
      }
    : {
        type,
        status: 'False',
        reason: reasons.DocumentRefused,
        message: `network documents of ${name} refused: ${refused.count}, the last at ${toSeconds(refused.at)}: ${refused.message}; the stored document stays in force`,
      };
}

/** Generations that this process delivered to a remote's gateway, by remote; empty after a restart until delivered again. */
export type Delivered = Map<string, number>;

/** Refused documents since the last accepted one, by remote; lost at a restart. */
export type RefusedDocuments = Map<string, { count: number; at: number; message: string }>;

/** The reconciler. Keys are names of RemoteClusters. */
export function reconcileRemoteCluster(
  context: ControllerContext,
  caches: Caches,
  identity: LocalIdentity,
  delivered: Delivered,
  refused: ReadonlyMap<string, { count: number; at: number; message: string }>,
) {
  const { kube, clock, events, log } = context;
  /** Documents written by this process, which the cache may not show yet. */
  const written = new Map<string, { uid: string | undefined; document: SignedDocument }>();

  /** Deletes the RemoteCluster of an abandoned in-band peering, and thereby its dependants. */
  async function isAbandoned(remote: RemoteCluster, signal: AbortSignal): Promise<boolean> {
    const { keepTunnelUntil, clusterID } = remote.spec;
    if (keepTunnelUntil === undefined || openingMilliseconds(remote, clock.now()) > 0) return false;
    if (!isUnreferenced(clusterID, [...caches.outgoing.list(), ...caches.incoming.list()], undefined))
      return false;
    const { name, uid = '', resourceVersion = '' } = remote.metadata;
    log.info('an in-band peering was opened but never completed', { remote: name, keepTunnelUntil });
    await kube.delete({ kind: kind.remoteCluster, name }, { uid, resourceVersion }, signal);
    return true;
  }

  return async (key: string, signal: AbortSignal): Promise<Result | void> => {
    const remote = caches.remotes.byKey(key);
    if (remote === undefined) {
      delivered.delete(key);
      written.delete(key);
      return;
    }
    const local = caches.local.byKey('self')?.status;
    if (remote.metadata.deletionTimestamp !== undefined || local === undefined) return;
    if (await isAbandoned(remote, signal)) return;
    const check = verifyRemoteDocument(remote.spec.networkDocument, remote.spec, identity.clusterID);
    const theirKey =
      check.verdict === 'Valid' ? keyInForce(remote, remote.spec.networkDocument) : remote.spec.publicKey;
    if (theirKey !== remote.spec.publicKey) {
      await kube.patch(
        { kind: kind.remoteCluster, name: key },
        { metadata: { resourceVersion: remote.metadata.resourceVersion }, spec: { publicKey: theirKey } },
        { type: 'merge', fieldManager },
        signal,
      );
      const message = `${key} has a new cluster key, signed by its previous one`;
      events.emit(remote, 'Normal', reasons.ClusterKeySucceeded, message);
      return;
    }
    const theirs = check.verdict === 'Valid' ? check.document : undefined;
    const last = written.get(key);
    const held = newerDocument(
      remote.status?.localDocument,
      last?.uid === remote.metadata.uid ? last?.document : undefined,
    );
    const composed = composeDocument({
      // The ID of the key, whatever the status contains.
      local: { ...local, clusterID: identity.clusterID },
      publicKey: identity.key.publicKey,
      recipient: key,
      previous: readStored(held),
      remote: theirs,
      tunnel: caches.tunnels.byKey(key),
      offer: offerTo(
        key,
        caches.incoming.list(),
        caches.local.byKey('self'),
        caches.rootAuthority(),
        remote.spec.servesInBand === true,
      ),
      newSalt: () => randomBytes(32).toString('base64'),
      now: clock.now(),
    });
    const waitingFor = 'waitingFor' in composed ? composed.waitingFor : undefined;
    const ours = 'document' in composed ? composed.document : undefined;
    const localDocument =
      ours === undefined || !('changed' in composed && composed.changed)
        ? held
        : withSuccessions(signNetworkDocument(ours, identity.key), identity);
    if (localDocument !== undefined) written.set(key, { uid: remote.metadata.uid, document: localDocument });
    const acknowledged = Math.max(theirs?.acknowledges ?? 0, delivered.get(key) ?? 0);
    await applyStatus(
      {
        kube,
        fieldManager,
        object: remote,
        now: clock.now(),
        events,
        fields: {
          localDocument,
          localDocumentGeneration: ours?.generation ?? remote.status?.localDocumentGeneration,
          remoteDocumentGeneration: theirs?.generation,
          acknowledgedGeneration: acknowledged > 0 ? acknowledged : undefined,
        },
        findings: [...remoteFindings(remote, check, waitingFor), documentsFinding(key, refused.get(key))],
      },
      signal,
    );
    const opening = openingMilliseconds(remote, clock.now());
    return opening > 0 ? { requeueAfterMilliseconds: opening } : undefined;
  };
}

/**
 * Of two documents of this cluster for one remote, the one with the higher generation. The cache may lag behind a recent
 * write, and the next document composed from it would have the same generation with other content: a remote that accepted
 * the first would never accept the second.
 */
export function newerDocument(
  cached: SignedDocument | undefined,
  written: SignedDocument | undefined,
): SignedDocument | undefined {
  const generation = (document: SignedDocument | undefined) => readStored(document)?.generation ?? 0;
  return generation(written) > generation(cached) ? written : cached;
}

/** Whether both sides have each other's current documents. */
export function isNegotiated(remote: RemoteCluster | undefined): boolean {
  const ours = readStored(remote?.status?.localDocument);
  const theirs = readStored(remote?.spec.networkDocument);
  if (remote === undefined || ours === undefined || theirs === undefined) return false;
  const known = remote.status?.conditions?.some(
    (each) => each.type === 'Compatible' && each.status === 'True',
  );
  return known === true && holdsOurs(ours, theirs, remote.status?.acknowledgedGeneration ?? 0);
}
