/**
 * The primitives of the handshake (paper, section 5.4), each from a maintained library: the AEADs from libsodium, X25519
 * from the OpenSSL in the Node binary where the addon finds it and from libsodium otherwise, BLAKE2s and HKDF from Node's
 * OpenSSL, and keyed BLAKE2s, which that lacks, from noble-hashes. This file only gives them the paper's names.
 */
import { createHash, hkdfSync } from 'node:crypto';

import { blake2s } from '@noble/hashes/blake2.js';

import { bytesOf, concatenate } from '../../shared/trust/encoding.ts';
import { HASH_LENGTH, KEY_LENGTH, MAC_LENGTH, TAG_LENGTH } from './constants-of-protocol.ts';
import { sodium } from './sodium.ts';

export { bytesOf, concatenate };

/** Returns `length` unpredictable bytes. */
export type RandomBytes = (length: number) => Uint8Array;

/** Every handshake payload is encrypted with a key that is used once, so the AEAD's counter is always 0 (section 5.4). */
const ZERO_NONCE = new Uint8Array(12);
const NOTHING = new Uint8Array(0);
/** OpenSSL's name of BLAKE2s; 32 bytes of output. A handshake hashes about a hundred times; native code is three times as fast. */
const BLAKE2S = 'blake2s256';

/** The same bytes, not a copy, so that erasing them leaves none behind. */
function plain(digest: Uint8Array): Uint8Array {
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength);
}

/** HASH: BLAKE2s with 32 bytes of output, over the concatenation of its inputs. */
export function hash(...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash(BLAKE2S);
  for (const part of parts) state.update(part);
  return plain(state.digest());
}

/** MAC: keyed BLAKE2s with 16 bytes of output. The key has 1–32 bytes. */
export function mac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return blake2s(data, { key, dkLen: MAC_LENGTH });
}

/**
 * KDF_n: HKDF (RFC 5869) over HMAC-BLAKE2s with an empty info, as the Noise framework defines it; `count` keys of 32 bytes.
 * One call takes half the time of the separate HMACs.
 */
export function kdf(count: 1 | 2 | 3, chainingKey: Uint8Array, input: Uint8Array): Uint8Array[] {
  const all = new Uint8Array(hkdfSync(BLAKE2S, input, chainingKey, NOTHING, count * HASH_LENGTH));
  return Array.from({ length: count }, (_, at) => all.subarray(at * HASH_LENGTH, (at + 1) * HASH_LENGTH));
}

/** X25519 on raw bytes, of 32 each; `multiply` gives `null` where the product is zero, or throws. */
export interface X25519 {
  multiply(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null;
  publicKeyOf(privateKey: Uint8Array): Uint8Array;
}

const PORTABLE: X25519 = {
  multiply: (privateKey, publicKey) => sodium.crypto_scalarmult(privateKey, publicKey),
  publicKeyOf: (privateKey) => sodium.crypto_scalarmult_base(privateKey),
};
let curve = PORTABLE;

/** RFC 7748, section 5.2, and a point of low order (section 6.1) whose product is zero. */
const KNOWN_PRODUCTS: readonly [privateKey: string, publicKey: string, product: string | null][] = [
  [
    'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
    'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
    'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
  ],
  [
    '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
    'e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493',
    '95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957',
  ],
  [
    'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    null,
  ],
];
/** Number of random keys on which a candidate must agree with libsodium. */
const COMPARISONS = 4;

function agrees(candidate: X25519, random: RandomBytes): boolean {
  const hex = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString('hex'));
  const ofHex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));
  for (const [privateKey, publicKey, product] of KNOWN_PRODUCTS)
    if (hex(candidate.multiply(ofHex(privateKey), ofHex(publicKey))) !== product) return false;
  for (let round = 0; round < COMPARISONS; round++) {
    const [own, other] = [random(KEY_LENGTH), random(KEY_LENGTH)];
    const publicKey = PORTABLE.publicKeyOf(other);
    if (hex(candidate.publicKeyOf(other)) !== hex(publicKey)) return false;
    if (hex(candidate.multiply(own, publicKey)) !== hex(PORTABLE.multiply(own, publicKey))) return false;
  }
  return true;
}

/** Switches to another X25519 if it passes the test vectors and agrees with libsodium's; returns whether it does. */
export function adoptX25519(candidate: X25519 | null, random: RandomBytes): boolean {
  if (candidate === null || !agrees(candidate, random)) return false;
  curve = candidate;
  return true;
}

/** X25519 public key of a private one (clamped inside, RFC 7748). */
export function publicKeyOf(privateKey: Uint8Array): Uint8Array {
  return curve.publicKeyOf(privateKey);
}

/** A private key as other implementations store it: clamped (RFC 7748, section 5), so that text comparisons agree. */
export function clamped(privateKey: Uint8Array): Uint8Array {
  const key = Uint8Array.from(privateKey);
  key[0] = (key[0] ?? 0) & 0b1111_1000;
  key[31] = ((key[31] ?? 0) & 0b0111_1111) | 0b0100_0000;
  return key;
}

/** X25519; `null` when the result is all zero, as for a point of low order (RFC 7748, section 6.1). */
export function diffieHellman(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
  if (privateKey.length !== KEY_LENGTH || publicKey.length !== KEY_LENGTH) return null;
  let shared: Uint8Array | null;
  try {
    shared = curve.multiply(privateKey, publicKey);
  } catch {
    return null;
  }
  return shared === null || isZero(shared) ? null : shared;
}

/** ChaCha20-Poly1305 (RFC 8439). The nonce has 12 bytes; it is zero unless a test says otherwise. */
export function seal(
  key: Uint8Array,
  plaintext: Uint8Array,
  associated: Uint8Array,
  nonce: Uint8Array = ZERO_NONCE,
): Uint8Array {
  return sodium.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, associated, null, nonce, key);
}

/** The inverse of `seal`; `null` when the input isn't authentic. */
export function open(
  key: Uint8Array,
  ciphertext: Uint8Array,
  associated: Uint8Array,
  nonce: Uint8Array = ZERO_NONCE,
): Uint8Array | null {
  if (ciphertext.length < TAG_LENGTH) return null;
  try {
    return sodium.crypto_aead_chacha20poly1305_ietf_decrypt(null, ciphertext, associated, nonce, key);
  } catch {
    return null;
  }
}

/** XChaCha20-Poly1305, only for cookies (section 5.4.7); the nonce is 24 random bytes. */
export function sealCookie(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  associated: Uint8Array,
): Uint8Array {
  return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, null, nonce, key);
}

/** The inverse of `sealCookie`; `null` when the input isn't authentic. */
export function openCookie(
  key: Uint8Array,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
  associated: Uint8Array,
): Uint8Array | null {
  if (ciphertext.length < TAG_LENGTH) return null;
  try {
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, ciphertext, associated, nonce, key);
  } catch {
    return null;
  }
}

/** Constant-time comparison; its time depends only on the lengths. */
export function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && sodium.memcmp(left, right);
}

/** Whether every byte is zero, in constant time. */
export function isZero(bytes: Uint8Array): boolean {
  let seen = 0;
  for (const byte of bytes) seen |= byte;
  return seen === 0;
}

/** Overwrites secrets in place. */
export function erase(...secrets: readonly (Uint8Array | null | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0);
}
