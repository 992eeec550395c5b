/**
 * The handshake with one peer as a state machine without clock, socket or timers (paper, sections 5.4.2 and 5.4.3): our own
 * pending initiation, and the checks against replayed and too frequent initiations of the peer.
 *
 * Both roles have separate state: answering a peer's initiation doesn't cancel our own pending one, so that simultaneous
 * handshakes give a session after one round trip instead of a retry.
 */
import { IDENTIFIER, INITIATION_INTERVAL, KEY_LENGTH, TIMESTAMP_LENGTH } from './constants-of-protocol.ts';
import { encodeInitiation, encodeResponse } from './messages.ts';
import {
  acceptInitiation,
  forget,
  openInitiation,
  readResponse,
  writeInitiation,
  writeResponse,
} from './noise.ts';
import type { Accepted, Initiated, Opened, StaticKeys } from './noise.ts';
import { bytesOf, diffieHellman, erase } from './primitives.ts';
import type { RandomBytes } from './primitives.ts';
import { isLater } from './tai64n.ts';

const PROLOGUE = bytesOf(IDENTIFIER);
const NO_PAYLOAD = new Uint8Array(0);
const NO_PRESHARED_KEY = new Uint8Array(KEY_LENGTH);

/** The result of a completed handshake. The keys are secret; the caller erases them after handing them over. */
export interface SessionKeys {
  localIndex: number;
  remoteIndex: number;
  sendKey: Uint8Array;
  receiveKey: Uint8Array;
  initiator: boolean;
}

/** Why a well-formed initiation isn't answered. */
export type Refusal = 'forged' | 'replayed' | 'too-frequent';

/** Reads the sender of an initiation; `null` when it isn't authentic for us. `accept` must still prove the sender. */
export function openPeerInitiation(local: StaticKeys, noise: Uint8Array): Opened | null {
  return openInitiation({ local, prologue: PROLOGUE, message: noise });
}

export class PeerHandshake {
  readonly #remoteStatic: Uint8Array;
  #presharedKey: Uint8Array = NO_PRESHARED_KEY;
  #local: StaticKeys | null = null;
  #staticStatic: Uint8Array | null = null;
  #pending: { localIndex: number; initiated: Initiated } | null = null;
  #greatestTimestamp = new Uint8Array(TIMESTAMP_LENGTH);
  #acceptedAt = Number.NEGATIVE_INFINITY;

  constructor(remoteStatic: Uint8Array) {
    this.#remoteStatic = remoteStatic;
  }

  /** Our index in the pending initiation. */
  get pendingIndex(): number | null {
    return this.#pending?.localIndex ?? null;
  }

  /** Whether a handshake with this peer can succeed: both keys are set and their shared secret isn't zero. */
  get usable(): boolean {
    return this.#staticStatic !== null;
  }

  /** Sets our own keys; a pending handshake with other keys is dropped. */
  setLocal(local: StaticKeys | null): void {
    this.abandon();
    erase(this.#staticStatic);
    this.#local = local;
    this.#staticStatic = local === null ? null : diffieHellman(local.privateKey, this.#remoteStatic);
  }

  /** 32 bytes, or `null` for none (section 5.2). Used from the next handshake on; current sessions stay. */
  setPresharedKey(presharedKey: Uint8Array | null): void {
    this.#presharedKey = presharedKey === null ? NO_PRESHARED_KEY : Uint8Array.from(presharedKey);
  }

  /** A new initiation without MACs; replaces a pending one. `null` when the peer's key is unusable. */
  initiate(localIndex: number, timestamp: Uint8Array, random: RandomBytes): Uint8Array | null {
    this.abandon();
    if (this.#local === null || this.#staticStatic === null) return null;
    const written = writeInitiation({
      local: this.#local,
      remoteStatic: this.#remoteStatic,
      staticStatic: this.#staticStatic,
      ephemeralPrivate: random(KEY_LENGTH),
      prologue: PROLOGUE,
      payload: timestamp,
    });
    if (written === null) return null;
    this.#pending = { localIndex, initiated: written.initiated };
    return encodeInitiation(localIndex, written.message);
  }

  /** Authenticates an initiation of this peer, and rejects replays and floods. `now`: monotonic milliseconds. */
  accept(opened: Opened, now: number): Accepted | Refusal {
    if (this.#staticStatic === null) return 'forged';
    const accepted = acceptInitiation(opened, this.#staticStatic);
    if (accepted === null || accepted.payload.length !== TIMESTAMP_LENGTH) return 'forged';
    if (!isLater(accepted.payload, this.#greatestTimestamp)) return 'replayed';
    if (now - this.#acceptedAt < INITIATION_INTERVAL) return 'too-frequent';
    this.#greatestTimestamp = Uint8Array.from(accepted.payload);
    this.#acceptedAt = now;
    return accepted;
  }

  /** The response without MACs, and the session; `null` when the peer's ephemeral key is unusable. */
  respond(
    accepted: Accepted,
    remoteIndex: number,
    localIndex: number,
    random: RandomBytes,
  ): { message: Uint8Array; session: SessionKeys } | null {
    const written = writeResponse({
      accepted,
      ephemeralPrivate: random(KEY_LENGTH),
      presharedKey: this.#presharedKey,
      payload: NO_PAYLOAD,
    });
    if (written === null) return null;
    return {
      message: encodeResponse(localIndex, remoteIndex, written.message),
      session: {
        localIndex,
        remoteIndex,
        sendKey: written.keys.responderToInitiator,
        receiveKey: written.keys.initiatorToResponder,
        initiator: false,
      },
    };
  }

  /** Completes our handshake with its response. An unauthentic response changes nothing. */
  consumeResponse(remoteIndex: number, noise: Uint8Array): SessionKeys | null {
    if (this.#pending === null || this.#local === null) return null;
    const { localIndex, initiated } = this.#pending;
    const read = readResponse({
      initiated,
      local: this.#local,
      presharedKey: this.#presharedKey,
      message: noise,
    });
    if (read === null || read.payload.length !== 0) return null;
    this.abandon();
    return {
      localIndex,
      remoteIndex,
      sendKey: read.keys.initiatorToResponder,
      receiveKey: read.keys.responderToInitiator,
      initiator: true,
    };
  }

  /** Drops a pending initiation. */
  abandon(): void {
    if (this.#pending !== null) forget(this.#pending.initiated);
    this.#pending = null;
  }

  /** Erases every secret; the object is unusable afterwards. */
  erase(): void {
    this.setLocal(null);
    if (this.#presharedKey !== NO_PRESHARED_KEY) erase(this.#presharedKey);
    this.#presharedKey = NO_PRESHARED_KEY;
  }
}
