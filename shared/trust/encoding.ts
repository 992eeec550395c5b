/** Bytes as text and back, strictly: what isn't the one canonical form is refused. */
import { sodium } from './sodium.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8 bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The text of UTF-8 bytes. Throws TypeError when they aren't. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** One array after another. */
export function concatenate(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

/** RFC 4648, section 4, with padding. */
export function toBase64(bytes: Uint8Array): string {
  return sodium.to_base64(bytes, sodium.base64_variants.ORIGINAL);
}

/** Throws RangeError when the text isn't canonical base64. */
export function fromBase64(text: string): Uint8Array {
  return decode(text, 'base64', () => sodium.from_base64(text, sodium.base64_variants.ORIGINAL));
}

/** RFC 4648, section 5, without padding. */
export function toBase64URL(bytes: Uint8Array): string {
  return sodium.to_base64(bytes, sodium.base64_variants.URLSAFE_NO_PADDING);
}

/** Throws RangeError when the text isn't canonical base64url. */
export function fromBase64URL(text: string): Uint8Array {
  return decode(text, 'base64url', () => sodium.from_base64(text, sodium.base64_variants.URLSAFE_NO_PADDING));
}

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return sodium.to_hex(bytes);
}

/** Throws RangeError when the text isn't an even number of hexadecimal digits. */
export function fromHex(text: string): Uint8Array {
  return decode(text, 'hexadecimal', () => sodium.from_hex(text));
}

/** Whether two byte strings are the same, in a time that depends on their lengths only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && sodium.memcmp(a, b);
}

// The text may be a secret, so that no message repeats it, and no cause does.
function decode(text: string, form: string, run: () => Uint8Array): Uint8Array {
  try {
    return run();
  } catch {
    throw new RangeError(`${text.length} characters that are not canonical ${form}`);
  }
}
