/**
 * Pins of certificates: SHA-256 of the SubjectPublicKeyInfo (RFC 5280, section 4.1; the same bytes as RFC 7469 pins), so that a
 * certificate's renewal with the same key keeps the pin.
 */
import { sha256Hex } from './digest.ts';
import { fromBase64 } from './encoding.ts';

const SEQUENCE = 0x30;
const VERSION = 0xa0;
/** serialNumber, signature, issuer, validity, subject come before subjectPublicKeyInfo (RFC 5280, section 4.1). */
const FIELDS_BEFORE_KEY = 5;

/** Pin of a certificate in DER, or of the first one in a PEM text, in hexadecimal. Throws RangeError for anything else. */
export function certificatePin(certificate: Uint8Array | string): string {
  const der = typeof certificate === 'string' ? firstOfPEM(certificate) : certificate;
  return sha256Hex(subjectPublicKeyInfo(der));
}

function firstOfPEM(text: string): Uint8Array {
  const body = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(text)?.[1];
  if (body === undefined) throw new RangeError('the text contains no PEM certificate');
  return fromBase64(body.replace(/\s+/g, ''));
}

function subjectPublicKeyInfo(der: Uint8Array): Uint8Array {
  const certificate = element(der, 0);
  const toBeSigned = element(der, certificate.content);
  let offset = toBeSigned.content;
  // The version is absent in version 1 certificates.
  if (der[offset] === VERSION) offset = element(der, offset).end;
  for (let field = 0; field < FIELDS_BEFORE_KEY; field++) offset = element(der, offset).end;
  const key = element(der, offset);
  if (der[0] !== SEQUENCE || der[offset] !== SEQUENCE || key.end > toBeSigned.end)
    throw new RangeError('not a DER certificate');
  return der.subarray(offset, key.end);
}

/** Start and end of the content of the element (X.690, section 8.1) at `offset`. */
function element(der: Uint8Array, offset: number): { content: number; end: number } {
  const first = der[offset + 1] ?? 0;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  let length = first < 0x80 ? first : 0;
  for (let index = 0; index < lengthBytes; index++) length = length * 256 + (der[offset + 2 + index] ?? 0);
  const content = offset + 2 + lengthBytes;
  const end = content + length;
  // 0x80 is the indefinite length, which DER doesn't have (X.690, section 10.1).
  if (first === 0x80 || lengthBytes > 4 || end > der.length) throw new RangeError('not a DER certificate');
  return { content, end };
}
