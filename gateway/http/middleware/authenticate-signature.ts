import type { MiddlewareHandler } from 'hono';
import { clusterID } from '../../../shared/api/meta.ts';
import { Problem } from '../../../shared/errors.ts';
import { kind } from '../../../shared/kube/refs.ts';
import {
  SignatureError,
  readSignature,
  refuseReplay,
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
    context.set('remote', await authenticateKnown(dependencies, context));
    await next();
  };
}

/** The known cluster that signed this request, once. Throws SignatureError. */
export async function authenticateKnown(
  dependencies: Dependencies,
  context: GatewayContext,
): Promise<RemoteCluster> {
  const { remote } = await authenticateSender(dependencies, context, {});
  return remote;
}

/**
 * Verifies that `publicKey` signed this request for this cluster. It remembers nothing: `acceptOnce` does, once the key is
 * known or a token of its holder was found. Throws SignatureError.
 */
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
    expected(dependencies, publicKey),
  );
}

/** Takes a verified request of a cluster that may have a place in memory, and never again. Throws SignatureError. */
export function acceptOnce({ replays, clock }: Dependencies, claim: SignatureClaim): void {
  refuseReplay(claim, replays, clock());
}

function expected(dependencies: Dependencies, publicKey: string): HeadVerificationOptions {
  const { publicKey: own, object } = self(dependencies);
  return {
    publicKey,
    // Who was away while this cluster's key was succeeded signs for the one that it knows.
    recipients: [own, ...succeededKeys(object.status?.keySuccessions)].map(keyFingerprint),
    now: dependencies.clock(),
    notBefore: dependencies.signedSince,
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
 * The RemoteCluster and key of whoever sends a request: the key may succeed the known one by statements that come with the
 * sender's document. Throws SignatureError unless that key signed the request.
 */
export async function authenticateSender(
  dependencies: Dependencies,
  context: GatewayContext,
  { successions }: Pick<SignedDocument, 'successions'>,
): Promise<{ remote: RemoteCluster; publicKey: string }> {
  const claim = readSignature(context.req.raw.headers);
  const remote = await findRemote(dependencies, claim, context.var.signal);
  // A cluster that is not known is judged by a key that signs nothing: the same steps, words and time as for a wrong
  // signature of a known one, so that nobody learns who is peered.
  const publicKey =
    remote === undefined
      ? dependencies.nobodysKey
      : followSuccessions(remote.spec.publicKey, remote.spec.clusterID, successions);
  verifyRequest(dependencies, context, claim, publicKey);
  if (remote === undefined) throw new Error('a request was signed by a key whose private half was dropped');
  acceptOnce(dependencies, claim);
  context.set('caller', remote.spec.clusterID);
  return { remote, publicKey };
}
