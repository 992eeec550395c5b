/**
 * The cluster key's succession: the old key signs a statement that names the new one. A peer that knows an old key follows
 * the statements, oldest first, to the key in force, however long it was away, as long as none is missing.
 */
import { z } from 'zod';
import {
  maximumSuccessions,
  type RemoteCluster,
  type SignedDocument,
  type SignedText,
} from '../api/clusters.ts';
import { clusterID, dateTime, key32 } from '../api/meta.ts';
import { isUsablePublicKey, verifySignature, type ClusterKey } from './cluster-key.ts';
import { bytesOf, concatenate, fromBase64URL, textOf, toBase64URL } from './encoding.ts';

/** Keeps a signature over a succession from being one over anything else that the cluster key signs. */
const CONTEXT = bytesOf('hawser cluster key succession v1\0');

const statement = z.looseObject({ clusterID, oldKey: key32, newKey: key32, at: dateTime });
export type KeySuccession = z.infer<typeof statement>;

/** Signs with the key that is succeeded. Throws ZodError, or RangeError when `oldKey` is not that key. */
export function signSuccession(succession: KeySuccession, oldKey: ClusterKey): SignedText {
  if (succession.oldKey !== oldKey.publicKey) throw new RangeError('a succession is signed by the old key');
  const payload = toBase64URL(bytesOf(JSON.stringify(statement.parse(succession))));
  return { payload, signature: toBase64URL(oldKey.sign(signedBytes(payload))) };
}

/**
 * The key in force, for a reader that knows `known` as the key of `clusterID`: `known` itself when no statement leads on
 * from it. What is malformed, of another cluster, or not signed by the key that it succeeds leads nowhere. Never throws.
 */
export function followSuccessions(
  known: string,
  cluster: string,
  successions: readonly SignedText[] | undefined,
): string {
  let current = known;
  for (const signed of (successions ?? []).slice(-maximumSuccessions)) {
    const found = read(signed);
    if (found === undefined || found.clusterID !== cluster || found.oldKey !== current) continue;
    if (!isUsablePublicKey(found.newKey)) continue;
    if (verifySignature(current, signedBytes(signed.payload), fromBase64URL(signed.signature)))
      current = found.newKey;
  }
  return current;
}

/** The key of a known cluster, by the successions that come with a verified document of it. */
export function keyInForce(
  { spec }: Pick<RemoteCluster, 'spec'>,
  document: SignedDocument | undefined,
): string {
  return followSuccessions(spec.publicKey, spec.clusterID, document?.successions);
}

/** The keys that statements of one's own succeed, oldest first. They are not verified: they are this cluster's own. */
export function succeededKeys(successions: readonly SignedText[] | undefined): string[] {
  return (successions ?? []).flatMap((signed) => read(signed)?.oldKey ?? []);
}

/** Statements with a new one; the oldest go when there are too many. */
export function withSuccession(successions: readonly SignedText[], next: SignedText): SignedText[] {
  return [...successions, next].slice(-maximumSuccessions);
}

function read(signed: SignedText): KeySuccession | undefined {
  try {
    fromBase64URL(signed.signature);
    return statement.safeParse(JSON.parse(textOf(fromBase64URL(signed.payload)))).data;
  } catch {
    return undefined;
  }
}

function signedBytes(payload: string): Uint8Array {
  return concatenate(CONTEXT, bytesOf(payload));
}
