/**
 * The constants of the WireGuard protocol, with the section of the paper (Donenfeld, "WireGuard: Next Generation
 * Kernel Network Tunnel", revision of 2020) that defines each. Choices of this implementation are in
 * `constants-of-implementation.ts`.
 */

/** Section 5.4: the name of the Noise handshake, hashed into the first chaining key. */
export const CONSTRUCTION = 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s';
/** Section 5.4: the prologue, which identifies the protocol in the transcript hash. */
export const IDENTIFIER = 'WireGuard v1 zx2c4 Jason@zx2c4.com';
/** Section 5.4: key of mac1 is HASH(label ‖ responder's static public key). */
export const LABEL_MAC1 = 'mac1----';
/** Sections 5.4 and 5.4.7: key of the cookie's encryption is HASH(label ‖ static public key). */
export const LABEL_COOKIE = 'cookie--';

/** Lengths in bytes of keys, hashes and authentication tags (section 5.4). */
export const KEY_LENGTH = 32;
export const HASH_LENGTH = 32;
export const TAG_LENGTH = 16;
export const MAC_LENGTH = 16;
export const COOKIE_LENGTH = 16;
/** Nonce of XChaCha20-Poly1305 in a cookie reply (section 5.4.7). */
export const COOKIE_NONCE_LENGTH = 24;
/** TAI64N: 8 bytes of seconds, 4 of nanoseconds (section 5.1). */
export const TIMESTAMP_LENGTH = 12;

/** First byte of each message; three reserved zero bytes follow (sections 5.4.2, 5.4.3, 5.4.7, 5.4.6). */
export const MESSAGE_INITIATION = 1;
export const MESSAGE_RESPONSE = 2;
export const MESSAGE_COOKIE_REPLY = 3;
export const MESSAGE_TRANSPORT = 4;

/** Exact lengths in bytes of the messages with a fixed layout. */
export const INITIATION_LENGTH = 148;
export const RESPONSE_LENGTH = 92;
export const COOKIE_REPLY_LENGTH = 64;
/** Header of a transport message (type, receiver, counter); a keepalive is header and tag alone (section 5.4.6). */
export const TRANSPORT_HEADER_LENGTH = 16;

/**
 * Section 6.1, in milliseconds. They are a parameter so that a test may rekey every few seconds; everything else runs
 * with `PROTOCOL_TIMES`.
 */
export interface ProtocolTimes {
  /** An initiator starts a new handshake when it sends with a session of this age. */
  rekeyAfterTime: number;
  /** A session of this age neither encrypts nor decrypts. */
  rejectAfterTime: number;
  /** Attempts at a handshake end after this. */
  rekeyAttemptTime: number;
  /** Between two initiations to the same peer. */
  rekeyTimeout: number;
  /** Upper bound, exclusive, of what is added to `rekeyTimeout` at random, so that two peers don't collide forever. */
  rekeyTimeoutJitter: number;
  /** A keepalive is sent this long after receiving data without sending anything (section 6.5). */
  keepaliveTimeout: number;
}

/** Section 6.1's table; the jitter is section 6.4's "0 to 333 ms". */
export const PROTOCOL_TIMES: Readonly<ProtocolTimes> = {
  rekeyAfterTime: 120_000,
  rejectAfterTime: 180_000,
  rekeyAttemptTime: 90_000,
  rekeyTimeout: 5_000,
  rekeyTimeoutJitter: 334,
  keepaliveTimeout: 10_000,
};

/** Section 6.3: ephemeral secrets and session keys are erased after this many times REJECT_AFTER_TIME (540 s). */
export const ZERO_AFTER_REJECT_TIMES = 3;
/** Sections 5.4.7 and 6.6: a cookie, and the secret it is made with, live two minutes (milliseconds). */
export const COOKIE_LIFETIME = 120_000;
/** Section 5.1: at most twenty initiations per second of one peer are answered (milliseconds between two). */
export const INITIATION_INTERVAL = 50;
