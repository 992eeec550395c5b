/** Keys in text: base64 in WireGuard's tools, hexadecimal in the userspace interface. Always 32 bytes. */
import { KEY_LENGTH } from './constants-of-protocol.ts';

const BASE64_KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;
const HEXADECIMAL_KEY = /^[0-9a-fA-F]{64}$/;

/** 44 characters of base64 to bytes; `null` for anything else, including non-canonical encodings. */
export function decodeKey(text: string): Uint8Array | null {
  return BASE64_KEY.test(text) ? Uint8Array.from(Buffer.from(text, 'base64')) : null;
}

export function encodeKey(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('base64');
}

/** 64 hexadecimal digits to bytes; `null` for anything else. */
export function decodeHexadecimalKey(text: string): Uint8Array | null {
  return HEXADECIMAL_KEY.test(text) ? Uint8Array.from(Buffer.from(text, 'hex')) : null;
}

export function encodeHexadecimalKey(key: Uint8Array): string {
  if (key.length !== KEY_LENGTH) throw new Error(`a key has ${KEY_LENGTH} bytes, not ${key.length}`);
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('hex');
}
