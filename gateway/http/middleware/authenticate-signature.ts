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
 * Admits requests signed by a known cluster (RFC 9421), with the key that its RemoteCluster contains at this moment.
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
 * Verifies that `publicKey` signed this request for this cluster. It stores no nonce: `acceptOnce` does, once the key is known
 * or a token of its holder was found. Throws SignatureError.
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

/** Accepts a verified request only once, for a cluster that may use memory for its nonces. Throws SignatureError. */
export function acceptOnce({ replays, clock }: Dependencies, claim: SignatureClaim): void {
  refuseReplay(claim, replays, clock());
}

function expected(dependencies: Dependencies, publicKey: string): HeadVerificationOptions {
  const { publicKey: own, object } = self(dependencies);
  return {
    publicKey,
    // A cluster that missed a succession of this cluster's key signs for the key that it knows.
    recipients: [own, ...succeededKeys(object.status?.keySuccessions)].map(keyFingerprint),
    now: dependencies.clock(),
    notBefore: dependencies.signedSince,
  };
}

/**
 * The known cluster that signed the head of a request; undefined if there is none. It distinguishes senders before their
 * bodies are read, and does not authenticate the request.
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

/** The RemoteCluster that a signature names, if it exists. */
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
 * The sender's RemoteCluster and key; the key may succeed the known one by statements in the sender's document. Throws
 * SignatureError unless that key signed the request.
 */
export async function authenticateSender(
  dependencies: Dependencies,
  context: GatewayContext,
  { successions }: Pick<SignedDocument, 'successions'>,
): Promise<{ remote: RemoteCluster; publicKey: string }> {
  const claim = readSignature(context.req.raw.headers);
  const remote = await findRemote(dependencies, claim, context.var.signal);
  // For an unknown cluster a key is used that signs nothing: the same steps, message and time as for a wrong signature of a
  // known cluster, so that the answer does not reveal which clusters are peered.
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
