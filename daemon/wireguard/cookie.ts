/**
 * The two MACs at the end of handshake messages, and the cookies that protect the expensive part of the handshake from
 * floods (paper, sections 5.3, 5.4.4 and 5.4.7). A device has one checker (as receiver); each peer has a generator (as
 * sender).
 */
import {
  COOKIE_LENGTH,
  COOKIE_LIFETIME,
  COOKIE_NONCE_LENGTH,
  HASH_LENGTH,
  LABEL_COOKIE,
  LABEL_MAC1,
  MAC_LENGTH,
} from './constants-of-protocol.ts';
import { encodeCookieReply } from './messages.ts';
import { bytesOf, equal, erase, hash, mac, openCookie, sealCookie } from './primitives.ts';
import type { RandomBytes } from './primitives.ts';

function mac1Of(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(bytes.length - 2 * MAC_LENGTH, bytes.length - MAC_LENGTH);
}

function mac2Of(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(bytes.length - MAC_LENGTH);
}

function beforeMac1(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.length - 2 * MAC_LENGTH);
}

function beforeMac2(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.length - MAC_LENGTH);
}

/** Checks the MACs of messages to the holder of `publicKey`, and creates cookies. */
export class CookieChecker {
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  readonly #random: RandomBytes;
  #secret: Uint8Array | null = null;
  #secretMadeAt = 0;

  constructor(publicKey: Uint8Array, random: RandomBytes) {
    this.#mac1Key = hash(bytesOf(LABEL_MAC1), publicKey);
    this.#cookieKey = hash(bytesOf(LABEL_COOKIE), publicKey);
    this.#random = random;
  }

  /** The current secret of cookies; `null` if none was sent yet. */
  get secret(): Uint8Array | null {
    return this.#secret;
  }

  /** Whether an initiation or response is addressed to us. A wrong mac1 gets no reply. */
  checkMac1(bytes: Uint8Array): boolean {
    return equal(mac1Of(bytes), mac(this.#mac1Key, beforeMac1(bytes)));
  }

  /** Whether the sender used the cookie that was last sent to its address and port (`source`, in text). */
  checkMac2(bytes: Uint8Array, source: string, now: number): boolean {
    if (this.#secret === null || now - this.#secretMadeAt > COOKIE_LIFETIME) return false;
    const cookie = mac(this.#secret, bytesOf(source));
    return equal(mac2Of(bytes), mac(cookie, beforeMac2(bytes)));
  }

  /** The cookie reply to an initiation or response whose sender (index `sender`) must prove that it owns its address. */
  createReply(bytes: Uint8Array, sender: number, source: string, now: number): Uint8Array {
    if (this.#secret === null || now - this.#secretMadeAt > COOKIE_LIFETIME) {
      erase(this.#secret);
      this.#secret = this.#random(HASH_LENGTH);
      this.#secretMadeAt = now;
    }
    const cookie = mac(this.#secret, bytesOf(source));
    const nonce = this.#random(COOKIE_NONCE_LENGTH);
    return encodeCookieReply(sender, nonce, sealCookie(this.#cookieKey, nonce, cookie, mac1Of(bytes)));
  }
}

/** Adds the MACs to messages to the holder of `publicKey`, and stores the cookie that it sends. */
export class CookieGenerator {
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #lastMac1: Uint8Array | null = null;
  #cookie: Uint8Array | null = null;
  #cookieAt = 0;

  constructor(publicKey: Uint8Array) {
    this.#mac1Key = hash(bytesOf(LABEL_MAC1), publicKey);
    this.#cookieKey = hash(bytesOf(LABEL_COOKIE), publicKey);
  }

  /** Writes mac1, and mac2 if there is a fresh cookie, to the end of `bytes`. */
  addMacs(bytes: Uint8Array, now: number): void {
    const mac1 = mac(this.#mac1Key, beforeMac1(bytes));
    mac1Of(bytes).set(mac1);
    this.#lastMac1 = mac1;
    if (this.#cookie !== null && now - this.#cookieAt <= COOKIE_LIFETIME)
      mac2Of(bytes).set(mac(this.#cookie, beforeMac2(bytes)));
  }

  /**
   * Reads the cookie from a reply. It is bound to the mac1 of our last message, so that only someone who has seen that message
   * can send one; a second reply to the same message is ignored.
   */
  consumeReply(nonce: Uint8Array, sealedCookie: Uint8Array, now: number): boolean {
    if (this.#lastMac1 === null) return false;
    const cookie = openCookie(this.#cookieKey, nonce, sealedCookie, this.#lastMac1);
    if (cookie === null || cookie.length !== COOKIE_LENGTH) return false;
    this.#cookie = cookie;
    this.#cookieAt = now;
    this.#lastMac1 = null;
    return true;
  }
}
