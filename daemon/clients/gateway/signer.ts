/** Signs requests to one API gateway with this cluster's key. */
import type { ClusterKey, RandomBytes } from '../../../shared/trust/cluster-key.ts';
import { toBase64URL } from '../../../shared/trust/encoding.ts';
import { signMessage, type SignedMessage } from '../../../shared/trust/http-signatures.ts';

const NONCE_BYTES = 18;

/** Returns the signature headers of a request; they differ on every call, since a nonce is never used twice. */
export type RequestSigner = (message: Omit<SignedMessage, 'headers'>) => Record<string, string>;

export interface RequestSignerOptions {
  key: ClusterKey;
  /** This cluster's ID. */
  clusterID: string;
  /** Fingerprint of the provider's cluster key (`keyFingerprint` of the token, or of RemoteCluster's `publicKey`). */
  recipient: string;
  /** Milliseconds since 1970; default: the system clock. */
  clock?: () => number;
  /** Default: WebCrypto's. */
  random?: RandomBytes;
}

export function createRequestSigner(options: RequestSignerOptions): RequestSigner {
  const { key, clusterID, recipient } = options;
  const clock = options.clock ?? Date.now;
  const random = options.random ?? ((length: number) => crypto.getRandomValues(new Uint8Array(length)));
  return (message) =>
    signMessage(message, {
      key,
      clusterID,
      recipient,
      now: clock(),
      nonce: toBase64URL(random(NONCE_BYTES)),
    });
}
