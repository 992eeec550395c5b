/** Strict conversion between bytes and text: only the canonical form is accepted. */

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8 bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** The text of UTF-8 bytes. Throws TypeError if they are invalid. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Concatenates arrays. */
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
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Throws RangeError if the text isn't canonical base64. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return canonical(text, 'base64', toBase64, () => bytesOfBinary(atob(text)));
}

/** RFC 4648, section 5, without padding. */
export function toBase64URL(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Throws RangeError when the text isn't canonical base64url. */
export function fromBase64URL(text: string): Uint8Array<ArrayBuffer> {
  const decode = () => bytesOfBinary(atob(text.replaceAll('-', '+').replaceAll('_', '/')));
  return canonical(text, 'base64url', toBase64URL, decode);
}

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** Throws RangeError when the text isn't an even number of hexadecimal digits. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const decode = () => Uint8Array.from(text.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
  return canonical(text.toLowerCase(), 'hexadecimal', toHex, decode);
}

/** Whether two byte strings are equal, in a time that depends only on their lengths. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= a[index]! ^ b[index]!;
  return difference === 0;
}

function bytesOfBinary(binary: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/**
 * The result of a lenient decoder, if encoding it gives the same text again. The text may be a secret, so neither message nor
 * cause contains it.
 */
function canonical(
  text: string,
  form: string,
  encode: (bytes: Uint8Array) => string,
  decode: () => Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer> | undefined;
  try {
    bytes = decode();
  } catch {
    // Reported below.
  }
  if (bytes === undefined || encode(bytes) !== text)
    throw new RangeError(`${text.length} characters that are not canonical ${form}`);
  return bytes;
}
