import type { MiddlewareHandler } from 'hono';
import { clusterID } from '../../../shared/api/meta.ts';
import { Problem } from '../../../shared/errors.ts';
import { kind } from '../../../shared/kube/refs.ts';
import {
  SignatureError,
  readSignature,
  verifyHead,
  verifyMessage,
  type HeadVerificationOptions,
  type SignatureClaim,
} from '../../../shared/trust/http-signatures.ts';
import { keyFingerprint } from '../../../shared/trust/cluster-key.ts';
import { followSuccessions, succeededKeys } from '../../../shared/trust/key-succession.ts';
import type { RemoteCluster, SignedDocument } from '../../../shared/api/clusters.ts';
import { self, type Dependencies, type GatewayContext, type GatewayEnvironment } from '../context.ts';

/**
 * Lets in requests that a cluster of this cluster's knowledge has signed (RFC 9421): the key is the one that its
 * RemoteCluster holds, read at this moment.
 */
export function authenticateSignature(dependencies: Dependencies): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    const claim = readSignature(context.req.raw.headers);
    const remote = await findRemote(dependencies, claim, context.var.signal);
    if (remote === undefined) throw unknownCluster();
    verifyRequest(dependencies, context, claim, remote.spec.publicKey);
    context.set('remote', remote);
    context.set('caller', remote.spec.clusterID);
    await next();
  };
}

/** Verifies that `publicKey` signed this request for this cluster. Throws SignatureError. */
export function verifyRequest(
  dependencies: Dependencies,
  context: GatewayContext,
  claim: SignatureClaim,
  publicKey: string,
): void {
  const request = context.req.raw;
  verifyMessage(
    { method: request.method, url: request.url, headers: request.headers, body: context.var.body },
    claim,
    { ...expected(dependencies, publicKey), replays: dependencies.replays },
  );
}

function expected(dependencies: Dependencies, publicKey: string): HeadVerificationOptions {
  const { publicKey: own, object } = self(dependencies);
  return {
    publicKey,
    // Who was away while this cluster's key was succeeded signs for the one that it knows.
    recipients: [own, ...succeededKeys(object.status?.keySuccessions)].map(keyFingerprint),
    now: dependencies.clock(),
  };
}

/**
 * The cluster whose known key has signed the head of a request; undefined: none has. It tells senders apart before their
 * bodies are read, and lets nobody in.
 */
export function signerOf(dependencies: Dependencies, context: GatewayContext): string | undefined {
  const { method, url, headers } = context.req.raw;
  try {
    const claim = readSignature(headers);
    const remote = dependencies.remoteClusters.get(claim.clusterID);
    if (remote === undefined) return undefined;
    verifyHead({ method, url, headers }, claim, expected(dependencies, remote.spec.publicKey));
    return claim.clusterID;
  } catch (error) {
    if (error instanceof SignatureError || error instanceof Problem) return undefined;
    throw error;
  }
}

/** The RemoteCluster that a signature names, if there is one. */
export async function findRemote(
  { kube }: Dependencies,
  claim: SignatureClaim,
  signal: AbortSignal,
): Promise<RemoteCluster | undefined> {
  if (!clusterID.safeParse(claim.clusterID).success)
    throw new SignatureError(
      'Malformed',
      'signature-input',
      'the signature’s keyid is not a valid cluster ID',
    );
  return kube.get({ kind: kind.remoteCluster, name: claim.clusterID }, signal);
}

/**
 * The RemoteCluster and key of whoever sends a document of its own: the key may succeed the known one by statements that come
 * with the document. Throws SignatureError unless that key signed the request.
 */
export async function authenticateSender(
  dependencies: Dependencies,
  context: GatewayContext,
  { successions }: SignedDocument,
): Promise<{ remote: RemoteCluster; publicKey: string }> {
  const claim = readSignature(context.req.raw.headers);
  const remote = await findRemote(dependencies, claim, context.var.signal);
  if (remote === undefined) throw unknownCluster();
  const publicKey = followSuccessions(remote.spec.publicKey, remote.spec.clusterID, successions);
  verifyRequest(dependencies, context, claim, publicKey);
  context.set('caller', remote.spec.clusterID);
  return { remote, publicKey };
}

// The same words as for a wrong signature: who isn't known learns nothing of who is.
function unknownCluster(): SignatureError {
  return new SignatureError(
    'BadSignature',
    'signature',
    'the signature was not made by that cluster’s key over this request',
  );
}
