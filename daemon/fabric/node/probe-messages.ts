/** The datagrams of path probes. Request and reply have the same size, so that they cannot be used for amplification. */
import { isIP } from 'node:net';

export const probeLength = 96;
const magic = Buffer.from('HWSRPRB1', 'latin1');
const stampLength = 16;
const typeOffset = magic.length;
const stampOffset = typeOffset + 1;
const sourceOffset = stampOffset + stampLength;

export type ProbeMessage =
  | { type: 'question'; stamp: string }
  /** `source`: the prober's address as the responder saw it. */
  | { type: 'answer'; stamp: string; source: string };

/** `stamp` is 16 unpredictable bytes in hexadecimal: a reply proves that the request arrived. */
export function encodeProbe(message: ProbeMessage): Buffer {
  const bytes = Buffer.alloc(probeLength);
  magic.copy(bytes);
  bytes[typeOffset] = message.type === 'question' ? 1 : 2;
  bytes.write(message.stamp, stampOffset, stampLength, 'hex');
  if (message.type === 'answer') {
    bytes[sourceOffset] = message.source.length;
    bytes.write(message.source, sourceOffset + 1, 'latin1');
  }
  return bytes;
}

/** Undefined for any other datagram. */
export function decodeProbe(bytes: Uint8Array): ProbeMessage | undefined {
  if (bytes.length !== probeLength) return undefined;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!buffer.subarray(0, magic.length).equals(magic)) return undefined;
  const stamp = buffer.toString('hex', stampOffset, sourceOffset);
  if (buffer[typeOffset] === 1) return { type: 'question', stamp };
  if (buffer[typeOffset] !== 2) return undefined;
  const length = buffer[sourceOffset] ?? 0;
  const source = buffer.toString('latin1', sourceOffset + 1, sourceOffset + 1 + length);
  return length <= 45 && isIP(source) !== 0 ? { type: 'answer', stamp, source } : undefined;
}
