/**
 * The primitives that the handshake is made of (paper, section 5.4), each from a kept library: X25519 and the AEADs from
 * libsodium, BLAKE2s and its HMAC from Node's OpenSSL, and BLAKE2s with a key, which that hasn't, from noble-hashes. Nothing
 * is invented here; this file only gives them the paper's names.
 */
import { createHash, createHmac } from 'node:crypto';

import { blake2s } from '@noble/hashes/blake2.js';

import { bytesOf, concatenate } from '../../shared/trust/encoding.ts';
import { KEY_LENGTH, MAC_LENGTH, TAG_LENGTH } from './constants-of-protocol.ts';
import { sodium } from './sodium.ts';

export { bytesOf, concatenate };

/** Fills its result with `length` unpredictable bytes. */
export type RandomBytes = (length: number) => Uint8Array;

/** Every handshake message is sealed with a key that is used once, so the AEAD's counter is always 0 (section 5.4). */
const ZERO_NONCE = new Uint8Array(12);
const NOTHING = new Uint8Array(0);
/** OpenSSL's name of it: 32 bytes of output. A handshake hashes some hundred times, and compiled code does it thrice as fast. */
const BLAKE2S = 'blake2s256';

/** The same bytes, not a copy, so that erasing them erases all there is. */
function plain(digest: Uint8Array): Uint8Array {
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength);
}

/** HASH: BLAKE2s with 32 bytes of output, over the concatenation of its inputs. */
export function hash(...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash(BLAKE2S);
  for (const part of parts) state.update(part);
  return plain(state.digest());
}

function hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return plain(createHmac(BLAKE2S, key).update(data).digest());
}

/** MAC: keyed BLAKE2s with 16 bytes of output. The key has 1–32 bytes. */
export function mac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return blake2s(data, { key, dkLen: MAC_LENGTH });
}

/** KDF_n: HKDF (RFC 5869) over HMAC-BLAKE2s with an empty info, as the Noise framework defines it; `count` keys of 32 bytes. */
export function kdf(count: 1 | 2 | 3, chainingKey: Uint8Array, input: Uint8Array): Uint8Array[] {
  const secret = hmac(chainingKey, input);
  const keys: Uint8Array[] = [];
  let last: Uint8Array = NOTHING;
  for (let number = 1; number <= count; number++) {
    last = hmac(secret, concatenate(last, Uint8Array.of(number)));
    keys.push(last);
  }
  secret.fill(0);
  return keys;
}

/** X25519 public key of a private one (clamped inside, RFC 7748). */
export function publicKeyOf(privateKey: Uint8Array): Uint8Array {
  return sodium.crypto_scalarmult_base(privateKey);
}

/** A private key as other implementations store it: clamped (RFC 7748, section 5), so that text comparisons agree. */
export function clamped(privateKey: Uint8Array): Uint8Array {
  const key = Uint8Array.from(privateKey);
  key[0] = (key[0] ?? 0) & 0b1111_1000;
  key[31] = ((key[31] ?? 0) & 0b0111_1111) | 0b0100_0000;
  return key;
}

/** X25519; `null` when the result is all zero, which a point of low order brings about (RFC 7748, section 6.1). */
export function diffieHellman(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
  if (privateKey.length !== KEY_LENGTH || publicKey.length !== KEY_LENGTH) return null;
  let shared: Uint8Array;
  try {
    shared = sodium.crypto_scalarmult(privateKey, publicKey);
  } catch {
    return null;
  }
  return isZero(shared) ? null : shared;
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

/** The way back of `seal`; `null` when it isn't authentic. */
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

/** XChaCha20-Poly1305, for cookies alone (section 5.4.7); the nonce has 24 bytes and is random. */
export function sealCookie(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  associated: Uint8Array,
): Uint8Array {
  return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, null, nonce, key);
}

/** The way back of `sealCookie`; `null` when it isn't authentic. */
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

/** Comparison in a time that depends on the lengths only. */
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
