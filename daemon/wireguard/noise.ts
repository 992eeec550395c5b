/**
 * The Noise pattern IKpsk2 (paper, section 5.4; Noise framework, revision 34), as the four steps of its two messages.
 *
 *     ← s
 *     …
 *     → e, es, s, ss
 *     ← e, ee, se, psk
 *
 * This file writes and reads the bare Noise message; `messages.ts` adds WireGuard's frame. Published vectors of the pattern
 * therefore test the same code that talks to peers. A reader returns `null` for an unauthentic message and leaves its
 * arguments unchanged, so that a forged message spoils no pending handshake.
 */
import { CONSTRUCTION, KEY_LENGTH, TAG_LENGTH } from './constants-of-protocol.ts';
import { bytesOf, diffieHellman, erase, hash, kdf, open, publicKeyOf, seal } from './primitives.ts';

const ENCRYPTED_STATIC_LENGTH = KEY_LENGTH + TAG_LENGTH;

/** HASH(CONSTRUCTION): the name is longer than a hash, so Noise uses its digest. */
const INITIAL_CHAINING_KEY = hash(bytesOf(CONSTRUCTION));

/** Chaining key and transcript hash. */
interface Transcript {
  chainingKey: Uint8Array;
  hash: Uint8Array;
}

export interface StaticKeys {
  privateKey: Uint8Array;
  publicKey: Uint8Array;
}

/** The initiator's state until the response arrives. Secret. */
export interface Initiated {
  transcript: Transcript;
  ephemeralPrivate: Uint8Array;
}

/** An initiation of which only the sender's static key was read; that the sender holds that key isn't proven yet. */
export interface Opened {
  transcript: Transcript;
  remoteStatic: Uint8Array;
  remoteEphemeral: Uint8Array;
  sealedPayload: Uint8Array;
}

/** An authentic initiation, ready to be answered. Secret. */
export interface Accepted {
  transcript: Transcript;
  payload: Uint8Array;
  remoteStatic: Uint8Array;
  remoteEphemeral: Uint8Array;
}

/** The two keys of a session (section 5.4.5). */
export interface TransportKeys {
  initiatorToResponder: Uint8Array;
  responderToInitiator: Uint8Array;
}

function begin(prologue: Uint8Array, responderStatic: Uint8Array): Transcript {
  return {
    chainingKey: INITIAL_CHAINING_KEY,
    hash: hash(hash(INITIAL_CHAINING_KEY, prologue), responderStatic),
  };
}

function mixHash(transcript: Transcript, data: Uint8Array): Transcript {
  return { chainingKey: transcript.chainingKey, hash: hash(transcript.hash, data) };
}

/** The `e` token: mixes the public ephemeral key into the hash and, as in every pattern with a psk, into the chaining key. */
function mixEphemeral(transcript: Transcript, ephemeral: Uint8Array): Transcript {
  const [chainingKey] = kdf(1, transcript.chainingKey, ephemeral) as [Uint8Array];
  return { chainingKey, hash: hash(transcript.hash, ephemeral) };
}

function mixKey(transcript: Transcript, secret: Uint8Array): { transcript: Transcript; key: Uint8Array } {
  const [chainingKey, key] = kdf(2, transcript.chainingKey, secret) as [Uint8Array, Uint8Array];
  return { transcript: { chainingKey, hash: transcript.hash }, key };
}

/** The `psk` token (section 5.4.3: κ, τ and the key of the empty payload). */
function mixPresharedKey(transcript: Transcript, presharedKey: Uint8Array) {
  const [chainingKey, extra, key] = kdf(3, transcript.chainingKey, presharedKey) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  return { transcript: { chainingKey, hash: hash(transcript.hash, extra) }, key };
}

function split(transcript: Transcript): TransportKeys {
  const [initiatorToResponder, responderToInitiator] = kdf(2, transcript.chainingKey, new Uint8Array(0)) as [
    Uint8Array,
    Uint8Array,
  ];
  return { initiatorToResponder, responderToInitiator };
}

/**
 * First message, by the initiator. `staticStatic` is DH(own static, remote static), computed once per peer.
 * `null` when the remote key is of low order, with which no handshake is secret.
 */
export function writeInitiation(input: {
  local: StaticKeys;
  remoteStatic: Uint8Array;
  staticStatic: Uint8Array;
  /** 32 fresh random bytes; the result keeps a reference, not a copy. */
  ephemeralPrivate: Uint8Array;
  prologue: Uint8Array;
  payload: Uint8Array;
}): { message: Uint8Array; initiated: Initiated } | null {
  const ephemeral = publicKeyOf(input.ephemeralPrivate);
  const ephemeralStatic = diffieHellman(input.ephemeralPrivate, input.remoteStatic);
  if (ephemeralStatic === null) return null;
  let transcript = mixEphemeral(begin(input.prologue, input.remoteStatic), ephemeral);

  const first = mixKey(transcript, ephemeralStatic);
  const sealedStatic = seal(first.key, input.local.publicKey, first.transcript.hash);
  transcript = mixHash(first.transcript, sealedStatic);

  const second = mixKey(transcript, input.staticStatic);
  const sealedPayload = seal(second.key, input.payload, second.transcript.hash);
  transcript = mixHash(second.transcript, sealedPayload);
  erase(ephemeralStatic, first.key, second.key);

  const message = new Uint8Array(KEY_LENGTH + sealedStatic.length + sealedPayload.length);
  message.set(ephemeral, 0);
  message.set(sealedStatic, KEY_LENGTH);
  message.set(sealedPayload, KEY_LENGTH + sealedStatic.length);
  return { message, initiated: { transcript, ephemeralPrivate: input.ephemeralPrivate } };
}

/** First message, responder's first step: decrypts the sender's static key. */
export function openInitiation(input: {
  local: StaticKeys;
  prologue: Uint8Array;
  message: Uint8Array;
}): Opened | null {
  if (input.message.length < KEY_LENGTH + ENCRYPTED_STATIC_LENGTH + TAG_LENGTH) return null;
  const remoteEphemeral = input.message.slice(0, KEY_LENGTH);
  const sealedStatic = input.message.subarray(KEY_LENGTH, KEY_LENGTH + ENCRYPTED_STATIC_LENGTH);
  const sealedPayload = input.message.slice(KEY_LENGTH + ENCRYPTED_STATIC_LENGTH);

  const ephemeralStatic = diffieHellman(input.local.privateKey, remoteEphemeral);
  if (ephemeralStatic === null) return null;
  const before = mixEphemeral(begin(input.prologue, input.local.publicKey), remoteEphemeral);
  const { transcript, key } = mixKey(before, ephemeralStatic);
  const remoteStatic = open(key, sealedStatic, transcript.hash);
  erase(ephemeralStatic, key);
  if (remoteStatic === null) return null;
  return { transcript: mixHash(transcript, sealedStatic), remoteStatic, remoteEphemeral, sealedPayload };
}

/** First message, responder's second step: proves that the sender holds its static key. */
export function acceptInitiation(opened: Opened, staticStatic: Uint8Array): Accepted | null {
  const { transcript, key } = mixKey(opened.transcript, staticStatic);
  const payload = open(key, opened.sealedPayload, transcript.hash);
  erase(key);
  if (payload === null) return null;
  return {
    transcript: mixHash(transcript, opened.sealedPayload),
    payload,
    remoteStatic: opened.remoteStatic,
    remoteEphemeral: opened.remoteEphemeral,
  };
}

/** Second message, by the responder, and the session's keys. Erases the ephemeral secret. */
export function writeResponse(input: {
  accepted: Accepted;
  /** 32 fresh random bytes. */
  ephemeralPrivate: Uint8Array;
  /** 32 bytes; all zero when there is none (section 5.2). */
  presharedKey: Uint8Array;
  payload: Uint8Array;
}): { message: Uint8Array; keys: TransportKeys } | null {
  const { accepted, ephemeralPrivate } = input;
  const ephemeral = publicKeyOf(ephemeralPrivate);
  const ephemeralEphemeral = diffieHellman(ephemeralPrivate, accepted.remoteEphemeral);
  const staticEphemeral = diffieHellman(ephemeralPrivate, accepted.remoteStatic);
  erase(ephemeralPrivate);
  if (ephemeralEphemeral === null || staticEphemeral === null) return null;
  let transcript = mixEphemeral(accepted.transcript, ephemeral);
  transcript = mixKey(transcript, ephemeralEphemeral).transcript;
  transcript = mixKey(transcript, staticEphemeral).transcript;
  erase(ephemeralEphemeral, staticEphemeral);

  const mixed = mixPresharedKey(transcript, input.presharedKey);
  const sealedPayload = seal(mixed.key, input.payload, mixed.transcript.hash);
  const keys = split(mixed.transcript);
  erase(mixed.key, mixed.transcript.chainingKey);

  const message = new Uint8Array(KEY_LENGTH + sealedPayload.length);
  message.set(ephemeral, 0);
  message.set(sealedPayload, KEY_LENGTH);
  return { message, keys };
}

/** Second message, by the initiator, and the session's keys. The initiator's state stays usable when this returns `null`. */
export function readResponse(input: {
  initiated: Initiated;
  local: StaticKeys;
  presharedKey: Uint8Array;
  message: Uint8Array;
}): { payload: Uint8Array; keys: TransportKeys } | null {
  if (input.message.length < KEY_LENGTH + TAG_LENGTH) return null;
  const remoteEphemeral = input.message.subarray(0, KEY_LENGTH);
  const sealedPayload = input.message.subarray(KEY_LENGTH);
  const ephemeralEphemeral = diffieHellman(input.initiated.ephemeralPrivate, remoteEphemeral);
  const staticEphemeral = diffieHellman(input.local.privateKey, remoteEphemeral);
  if (ephemeralEphemeral === null || staticEphemeral === null) return null;
  let transcript = mixEphemeral(input.initiated.transcript, remoteEphemeral);
  transcript = mixKey(transcript, ephemeralEphemeral).transcript;
  transcript = mixKey(transcript, staticEphemeral).transcript;
  erase(ephemeralEphemeral, staticEphemeral);

  const mixed = mixPresharedKey(transcript, input.presharedKey);
  const payload = open(mixed.key, sealedPayload, mixed.transcript.hash);
  erase(mixed.key);
  if (payload === null) return null;
  const keys = split(mixed.transcript);
  erase(mixed.transcript.chainingKey);
  return { payload, keys };
}

/** Erases an initiator's state. */
export function forget(initiated: Initiated): void {
  erase(initiated.ephemeralPrivate, initiated.transcript.chainingKey);
}
