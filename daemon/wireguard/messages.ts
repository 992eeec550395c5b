/**
 * Encoding and decoding of handshake message frames (paper, sections 5.4.2, 5.4.3 and 5.4.7). All integers are
 * little-endian. Parsing is strict: exact length, known type, reserved bytes zero, otherwise `null`.
 *
 *     initiation    type 1, 0 0 0 │ sender u32 │ Noise message 108 │ mac1 16 │ mac2 16                 148 bytes
 *     response      type 2, 0 0 0 │ sender u32 │ receiver u32 │ Noise message 48 │ mac1 16 │ mac2 16    92 bytes
 *     cookie reply  type 3, 0 0 0 │ receiver u32 │ nonce 24 │ sealed cookie 32                          64 bytes
 */
import {
  COOKIE_NONCE_LENGTH,
  COOKIE_REPLY_LENGTH,
  INITIATION_LENGTH,
  MAC_LENGTH,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  RESPONSE_LENGTH,
} from './constants-of-protocol.ts';

const SENDER_OFFSET = 4;
const INITIATION_NOISE_OFFSET = 8;
const RESPONSE_RECEIVER_OFFSET = 8;
const RESPONSE_NOISE_OFFSET = 12;
const COOKIE_RECEIVER_OFFSET = 4;
const COOKIE_NONCE_OFFSET = 8;
const COOKIE_SEALED_OFFSET = COOKIE_NONCE_OFFSET + COOKIE_NONCE_LENGTH;
const MACS_LENGTH = 2 * MAC_LENGTH;

export type HandshakeMessage =
  | { type: 'initiation'; sender: number; noise: Uint8Array }
  | { type: 'response'; sender: number; receiver: number; noise: Uint8Array }
  | { type: 'cookie-reply'; receiver: number; nonce: Uint8Array; sealedCookie: Uint8Array };

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The frame of an initiation with both MACs zero (`CookieGenerator.addMacs` fills them in). */
export function encodeInitiation(sender: number, noise: Uint8Array): Uint8Array {
  if (noise.length !== INITIATION_LENGTH - INITIATION_NOISE_OFFSET - MACS_LENGTH)
    throw new Error(`an initiation carries 108 bytes of Noise message, not ${noise.length}`);
  const bytes = new Uint8Array(INITIATION_LENGTH);
  bytes[0] = MESSAGE_INITIATION;
  viewOf(bytes).setUint32(SENDER_OFFSET, sender, true);
  bytes.set(noise, INITIATION_NOISE_OFFSET);
  return bytes;
}

/** The frame of a response with both MACs zero. */
export function encodeResponse(sender: number, receiver: number, noise: Uint8Array): Uint8Array {
  if (noise.length !== RESPONSE_LENGTH - RESPONSE_NOISE_OFFSET - MACS_LENGTH)
    throw new Error(`a response carries 48 bytes of Noise message, not ${noise.length}`);
  const bytes = new Uint8Array(RESPONSE_LENGTH);
  bytes[0] = MESSAGE_RESPONSE;
  const view = viewOf(bytes);
  view.setUint32(SENDER_OFFSET, sender, true);
  view.setUint32(RESPONSE_RECEIVER_OFFSET, receiver, true);
  bytes.set(noise, RESPONSE_NOISE_OFFSET);
  return bytes;
}

/** A complete cookie reply. */
export function encodeCookieReply(receiver: number, nonce: Uint8Array, sealedCookie: Uint8Array): Uint8Array {
  if (nonce.length + sealedCookie.length !== COOKIE_REPLY_LENGTH - COOKIE_NONCE_OFFSET)
    throw new Error('a cookie reply carries a nonce of 24 bytes and a sealed cookie of 32');
  const bytes = new Uint8Array(COOKIE_REPLY_LENGTH);
  bytes[0] = MESSAGE_COOKIE_REPLY;
  viewOf(bytes).setUint32(COOKIE_RECEIVER_OFFSET, receiver, true);
  bytes.set(nonce, COOKIE_NONCE_OFFSET);
  bytes.set(sealedCookie, COOKIE_SEALED_OFFSET);
  return bytes;
}

/** Parses a handshake message; `null` if it isn't exactly one. The arrays in the result are views into `bytes`. */
export function parseHandshakeMessage(bytes: Uint8Array): HandshakeMessage | null {
  if (bytes.length < 4 || bytes[1] !== 0 || bytes[2] !== 0 || bytes[3] !== 0) return null;
  const view = viewOf(bytes);
  const type: number = bytes[0] ?? 0;
  switch (type) {
    case MESSAGE_INITIATION:
      if (bytes.length !== INITIATION_LENGTH) return null;
      return {
        type: 'initiation',
        sender: view.getUint32(SENDER_OFFSET, true),
        noise: bytes.subarray(INITIATION_NOISE_OFFSET, INITIATION_LENGTH - MACS_LENGTH),
      };
    case MESSAGE_RESPONSE:
      if (bytes.length !== RESPONSE_LENGTH) return null;
      return {
        type: 'response',
        sender: view.getUint32(SENDER_OFFSET, true),
        receiver: view.getUint32(RESPONSE_RECEIVER_OFFSET, true),
        noise: bytes.subarray(RESPONSE_NOISE_OFFSET, RESPONSE_LENGTH - MACS_LENGTH),
      };
    case MESSAGE_COOKIE_REPLY:
      if (bytes.length !== COOKIE_REPLY_LENGTH) return null;
      return {
        type: 'cookie-reply',
        receiver: view.getUint32(COOKIE_RECEIVER_OFFSET, true),
        nonce: bytes.subarray(COOKIE_NONCE_OFFSET, COOKIE_SEALED_OFFSET),
        sealedCookie: bytes.subarray(COOKIE_SEALED_OFFSET),
      };
    default:
      return null;
  }
}
