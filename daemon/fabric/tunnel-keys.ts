/** X25519 keys of nodes and tunnel endpoints (RFC 7748): generation, and deriving the public key. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';

export interface TunnelKeyPair {
  /** 32 bytes. */
  privateKey: Uint8Array;
  /** Base64. */
  publicKey: string;
}

/** DER prefix of a PKCS #8 structure around a 32-byte X25519 key (RFC 8410, section 7). */
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');

export function generateTunnelKey(): TunnelKeyPair {
  const { privateKey } = generateKeyPairSync('x25519');
  const raw = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
  return { privateKey: clamp(raw), publicKey: publicText(privateKey) };
}

/** Parses 32 bytes in base64, as in a tunnel endpoint's Secret. Throws RangeError, without repeating the text. */
export function readTunnelKey(text: string): TunnelKeyPair {
  const raw = Buffer.from(text, 'base64');
  if (raw.length !== 32 || raw.toString('base64') !== text) {
    throw new RangeError('a tunnel key is 32 bytes in base64');
  }
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, raw]), format: 'der', type: 'pkcs8' });
  return { privateKey: clamp(raw), publicKey: publicText(key) };
}

function publicText(privateKey: KeyObject): string {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return Buffer.from(x ?? '', 'base64url').toString('base64');
}

/** RFC 7748, section 5: tools show private keys in this form. */
function clamp(raw: Uint8Array): Uint8Array {
  const key = Uint8Array.from(raw);
  key[0] = (key[0] ?? 0) & 248;
  key[31] = ((key[31] ?? 0) & 127) | 64;
  return key;
}
