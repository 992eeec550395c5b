/** SHA-256 (FIPS 180-4) in the forms that Hawser uses. */
import { sha256 as hash } from '@noble/hashes/sha2.js';
import { bytesOf, toHex } from './encoding.ts';

/** SHA-256 of all parts in sequence. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const state = hash.create();
  for (const part of parts) state.update(part);
  return state.digest();
}

/** SHA-256 in lower-case hexadecimal; a text counts as its UTF-8 bytes. */
export function sha256Hex(data: Uint8Array | string): string {
  return toHex(hash(typeof data === 'string' ? bytesOf(data) : data));
}

/**
 * The stored hash of a token's secret. The secret has 256 random bits, so a plain hash is sufficient: a slow one only protects
 * secrets that can be guessed.
 */
export function hashSecret(secret: string): string {
  return sha256Hex(secret);
}
