/**
 * Ed25519 (RFC 8032) and X25519 (RFC 7748) as synchronous functions: the platform's compiled ones if they are available, as in
 * Node and Deno, otherwise those of @noble/curves. They differ only in time and memory.
 */
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { concatenate, fromHex } from './encoding.ts';

export interface Curve25519 {
  /** Ed25519 public key of a seed. */
  publicKeyOf(seed: Uint8Array): Uint8Array;
  /** 64 bytes. */
  sign(message: Uint8Array, seed: Uint8Array): Uint8Array;
  /** May throw for malformed input. */
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
  /** X25519 of keys in its own form. Throws for a result of all zeros. */
  agree(secret: Uint8Array, publicKey: Uint8Array): Uint8Array;
}

/** In JavaScript. */
export const portable: Curve25519 = {
  publicKeyOf: (seed) => ed25519.getPublicKey(seed),
  sign: (message, seed) => ed25519.sign(message, seed),
  // ZIP 215 accepts more signatures than RFC 8032.
  verify: (signature, message, publicKey) => ed25519.verify(signature, message, publicKey, { zip215: false }),
  agree: (secret, publicKey) => x25519.getSharedSecret(secret, publicKey),
};

/** The functions of `node:crypto` in use. */
interface PlatformCrypto {
  createPrivateKey(input: { key: Uint8Array; format: 'der'; type: 'pkcs8' }): object;
  createPublicKey(
    input: { key: Uint8Array; format: 'der'; type: 'spki' } | object,
  ): object & { export(options: { format: 'der'; type: 'spki' }): Uint8Array };
  sign(algorithm: null, data: Uint8Array, key: object): Uint8Array;
  verify(algorithm: null, data: Uint8Array, key: object, signature: Uint8Array): boolean;
  diffieHellman(keys: { privateKey: object; publicKey: object }): Uint8Array;
}

/** Prefixes of DER-encoded keys (RFC 8410). */
const prefixes = {
  ed25519: { pkcs8: fromHex('302e020100300506032b657004220420'), spki: fromHex('302a300506032b6570032100') },
  x25519: { pkcs8: fromHex('302e020100300506032b656e04220420'), spki: fromHex('302a300506032b656e032100') },
};
type Algorithm = keyof typeof prefixes;
const KEY_LENGTH = 32;

/** The platform's implementation; undefined if there is none. */
export function platformCurve25519(): Curve25519 | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } };
  const crypto = process?.getBuiltinModule?.('node:crypto') as PlatformCrypto | undefined;
  if (crypto === undefined) return undefined;
  const secret = (algorithm: Algorithm, bytes: Uint8Array) =>
    crypto.createPrivateKey({
      key: concatenate(prefixes[algorithm].pkcs8, bytes),
      format: 'der',
      type: 'pkcs8',
    });
  const open = (algorithm: Algorithm, bytes: Uint8Array) =>
    crypto.createPublicKey({
      key: concatenate(prefixes[algorithm].spki, bytes),
      format: 'der',
      type: 'spki',
    });
  return {
    publicKeyOf(seed) {
      const spki = crypto.createPublicKey(secret('ed25519', seed)).export({ format: 'der', type: 'spki' });
      return Uint8Array.from(spki.subarray(-KEY_LENGTH));
    },
    sign: (message, seed) => Uint8Array.from(crypto.sign(null, message, secret('ed25519', seed))),
    verify: (signature, message, publicKey) =>
      crypto.verify(null, message, open('ed25519', publicKey), signature),
    agree(own, remote) {
      const agreed = Uint8Array.from(
        crypto.diffieHellman({ privateKey: secret('x25519', own), publicKey: open('x25519', remote) }),
      );
      // RFC 7748, section 6.1
      if (agreed.every((byte) => byte === 0)) throw new RangeError('a key of small order');
      return agreed;
    },
  };
}

export const curve25519: Curve25519 = platformCurve25519() ?? portable;

/** The X25519 form of an Ed25519 seed. */
export function x25519Secret(seed: Uint8Array): Uint8Array {
  return ed25519.utils.toMontgomerySecret(seed);
}

/** The X25519 form of an Ed25519 public key. Throws for a point outside the curve's prime-order subgroup. */
export function x25519Public(publicKey: Uint8Array): Uint8Array {
  const point = ed25519.Point.fromBytes(publicKey);
  if (point.isSmallOrder() || !point.isTorsionFree())
    throw new RangeError('not a point of the curve’s main subgroup');
  return ed25519.utils.toMontgomery(publicKey);
}
