/**
 * The cluster key's succession: the old key signs a statement that names the new one. A peer that knows an old key follows the
 * statements, oldest first, to the present key, however long it was disconnected, unless one is missing.
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

/** Separates signatures over successions from all others of the cluster key. */
const CONTEXT = bytesOf('hawser cluster key succession v1\0');

const statement = z.looseObject({ clusterID, oldKey: key32, newKey: key32, at: dateTime });
export type KeySuccession = z.infer<typeof statement>;

/** Signs with the old key. Throws ZodError, or RangeError if `oldKey` is not the succession's old key. */
export function signSuccession(succession: KeySuccession, oldKey: ClusterKey): SignedText {
  if (succession.oldKey !== oldKey.publicKey) throw new RangeError('a succession is signed by the old key');
  const payload = toBase64URL(bytesOf(JSON.stringify(statement.parse(succession))));
  return { payload, signature: toBase64URL(oldKey.sign(signedBytes(payload))) };
}

/**
 * The present key of `clusterID`, for a reader that knows `known`: `known` itself if no statement continues from it. Malformed
 * statements, those of other clusters, and those not signed by their old key are ignored. Never throws.
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

/** The key of a known cluster, following the successions in a verified document of it. */
export function keyInForce(
  { spec }: Pick<RemoteCluster, 'spec'>,
  document: SignedDocument | undefined,
): string {
  return followSuccessions(spec.publicKey, spec.clusterID, document?.successions);
}

/** The old keys of the own statements, oldest first. They are not verified, since they are this cluster's own. */
export function succeededKeys(successions: readonly SignedText[] | undefined): string[] {
  return (successions ?? []).flatMap((signed) => read(signed)?.oldKey ?? []);
}

/** The statements with a new one; beyond the maximum the oldest are dropped. */
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
