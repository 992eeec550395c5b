/**
 * The cluster key: an Ed25519 key pair (RFC 8032) that is generated at a cluster's first start. It signs network documents and
 * requests; converted to X25519 (RFC 7748) it derives the tunnels' pre-shared keys.
 */
import { curve25519, x25519Public, x25519Secret } from './curve25519.ts';
import { sha256Hex } from './digest.ts';
import { fromBase64, toBase64 } from './encoding.ts';

const KEY_LENGTH = 32;
const SIGNATURE_LENGTH = 64;

/** Fills its result with `length` unpredictable bytes. */
export type RandomBytes = (length: number) => Uint8Array;

/** A cluster's own key. The private half is inaccessible to logs and serialisers. */
export class ClusterKey {
  readonly #seed: Uint8Array;
  /** 32 bytes in base64, as in every object and document. */
  readonly publicKey: string;

  constructor(seed: Uint8Array) {
    if (seed.length !== KEY_LENGTH) throw new RangeError(`a cluster key has 32 bytes, not ${seed.length}`);
    this.#seed = seed.slice();
    this.publicKey = toBase64(curve25519.publicKeyOf(seed));
  }

  /** Generates a key. */
  static generate(random: RandomBytes): ClusterKey {
    return new ClusterKey(random(KEY_LENGTH));
  }

  /** Imports the output of `exportPrivateKey`. Throws RangeError. */
  static fromPrivateKey(text: string): ClusterKey {
    return new ClusterKey(fromBase64(text));
  }

  /** SHA-256 of the 32 bytes of the public key, in hexadecimal. */
  get fingerprint(): string {
    return keyFingerprint(this.publicKey);
  }

  /** 64 bytes. */
  sign(message: Uint8Array): Uint8Array {
    return curve25519.sign(message, this.#seed);
  }

  /**
   * X25519 of this key and another cluster's: the same 32 bytes on both sides. Throws RangeError for a key that cannot be
   * converted, or for a result of all zeros (RFC 7748, section 6.1).
   */
  agree(remotePublicKey: string): Uint8Array {
    const remote = x25519PublicKey(remotePublicKey);
    try {
      return curve25519.agree(x25519Secret(this.#seed), remote);
    } catch {
      throw new RangeError('the other cluster’s key is of small order');
    }
  }

  /** 32 bytes in base64, only for the Secret that stores the key. */
  exportPrivateKey(): string {
    return toBase64(this.#seed);
  }
}

/** The 32 bytes of a public key in base64. Throws RangeError. */
export function decodePublicKey(text: string): Uint8Array {
  const bytes = fromBase64(text);
  if (bytes.length !== KEY_LENGTH) throw new RangeError(`a public key has 32 bytes, not ${bytes.length}`);
  return bytes;
}

/** SHA-256 of a public key's 32 bytes, in lower-case hexadecimal. Throws RangeError. */
export function keyFingerprint(publicKey: string): string {
  return sha256Hex(decodePublicKey(publicKey));
}

/** Whether `signature` over `message` was made by `publicKey` (base64). False for anything malformed; never throws. */
export function verifySignature(publicKey: string, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_LENGTH) return false;
  try {
    // A key of small order has signatures that anyone can forge.
    x25519PublicKey(publicKey);
    return curve25519.verify(signature, message, decodePublicKey(publicKey));
  } catch {
    return false;
  }
}

/** Converted keys, since a conversion takes milliseconds; a cluster has few peers, whose keys are used repeatedly. */
const forms = new Map<string, Uint8Array>();
const MOST_FORMS = 1024;

/** The X25519 form of an Ed25519 public key (base64). Throws RangeError if there is none. */
export function x25519PublicKey(publicKey: string): Uint8Array {
  const known = forms.get(publicKey);
  if (known !== undefined) return known.slice();
  const bytes = decodePublicKey(publicKey);
  let form: Uint8Array;
  try {
    form = x25519Public(bytes);
  } catch {
    throw new RangeError('not a point of the curve’s main subgroup');
  }
  if (forms.size >= MOST_FORMS) forms.clear();
  forms.set(publicKey, form);
  return form.slice();
}

/** Whether the text is a key that is valid for signatures and key agreement. */
export function isUsablePublicKey(publicKey: string): boolean {
  try {
    x25519PublicKey(publicKey);
    return true;
  } catch {
    return false;
  }
}
