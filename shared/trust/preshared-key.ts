/**
 * The pre-shared key of a tunnel: HKDF (RFC 5869) with SHA-256 over X25519 of the two cluster keys, salted by both sides'
 * salts. Both sides derive the same 32 bytes without sending them; a new salt changes the key.
 */
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { decodePublicKey, type ClusterKey } from './cluster-key.ts';
import { bytesOf, concatenate, fromBase64, toHex } from './encoding.ts';

const CONTEXT = bytesOf('hawser tunnel pre-shared key v1');
const REVISION_CONTEXT = bytesOf('hawser tunnel pre-shared key revision v1');
const SALT_LENGTH = 32;
const KEY_LENGTH = 32;

/** The inputs of one side, all of them public. */
export interface PresharedKeySide {
  clusterID: string;
  /** Cluster key, base64. */
  publicKey: string;
  /** 32 bytes, base64: `salt` of the side's network document. */
  salt: string;
}

/** The 32 bytes. Throws RangeError for a malformed key or salt, or for two sides with the same ID. */
export function derivePresharedKey(
  key: ClusterKey,
  local: Omit<PresharedKeySide, 'publicKey'>,
  remote: PresharedKeySide,
): Uint8Array {
  const [first, second] = inOrder({ ...local, publicKey: key.publicKey }, remote);
  const agreed = key.agree(remote.publicKey);
  const derived = hkdf(
    sha256,
    agreed,
    concatenate(saltOf(first), saltOf(second)),
    concatenate(CONTEXT, named(first), named(second)),
    KEY_LENGTH,
  );
  agreed.fill(0);
  return derived;
}

/** A public identifier of the key that the two sides derive: equal for equal keys. 16 hexadecimal digits. Throws RangeError. */
export function presharedKeyRevision(one: PresharedKeySide, other: PresharedKeySide): string {
  const [first, second] = inOrder(one, other);
  return toHex(
    sha256(concatenate(REVISION_CONTEXT, named(first), saltOf(first), named(second), saltOf(second))),
  ).slice(0, 16);
}

// Ordered by ID, so that both sides get the same result.
function inOrder(one: PresharedKeySide, other: PresharedKeySide): [PresharedKeySide, PresharedKeySide] {
  if (one.clusterID === other.clusterID)
    throw new RangeError(`both sides call themselves ${one.clusterID}: cluster IDs must differ`);
  return one.clusterID < other.clusterID ? [one, other] : [other, one];
}

// The length distinguishes ("ab", "c") from ("a", "bc").
function named(side: PresharedKeySide): Uint8Array {
  const id = bytesOf(side.clusterID);
  return concatenate(Uint8Array.of(id.length), id, decodePublicKey(side.publicKey));
}

function saltOf(side: PresharedKeySide): Uint8Array {
  const salt = fromBase64(side.salt);
  if (salt.length !== SALT_LENGTH)
    throw new RangeError(`the salt of ${side.clusterID} has ${salt.length} bytes, not ${SALT_LENGTH}`);
  return salt;
}
