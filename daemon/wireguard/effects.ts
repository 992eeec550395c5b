/** The inputs and effects of a device, as plain values that tests can compare. */
import type { EngineDifference, Keypair } from '../../native/index.d.ts';
import type { RandomBytes } from './primitives.ts';
import type { Observation } from './timers.ts';

/** One moment on two clocks, in milliseconds: a monotonic one that includes suspend, and the wall clock since 1970. */
export interface Moment {
  monotonic: number;
  wall: number;
}

/** What a device needs from its caller. */
export interface DeviceEnvironment {
  random: RandomBytes;
  /** Whether the engine already uses an index. */
  indexTaken: (index: number) => boolean;
  /** When packets of a peer last passed, on the monotonic clock. */
  observe: (peer: number) => Observation;
}

export type DeviceInput =
  /** `backlog`: number of handshake messages queued behind this one. Addresses in text, as the engine writes them. */
  | { type: 'handshake'; source: string; destination: string; bytes: Uint8Array; backlog: number }
  | { type: 'handshake-wanted'; peer: number }
  | { type: 'session-confirmed'; peer: number; localIndex: number }
  | { type: 'endpoint-changed'; peer: number; endpoint: string }
  | { type: 'probe-answered'; peer: number; token: number }
  /** The local interface's MTU is too small for the probe. */
  | { type: 'probe-refused'; peer: number; token: number };

export type DeviceEffect =
  | { type: 'set-public-key'; publicKey: Uint8Array | null }
  /** The cookie secret, so that the engine can check mac2. Null: no cookie was sent yet. */
  | { type: 'set-cookie-secret'; secret: Uint8Array | null }
  | { type: 'apply'; difference: EngineDifference }
  /** The caller must erase its keys once they are handed over. */
  | { type: 'add-keypair'; peer: number; keypair: Keypair }
  | { type: 'clear-keypairs'; peer: number }
  | { type: 'send-to-peer'; peer: number; bytes: Uint8Array }
  | { type: 'send-to'; destination: string; bytes: Uint8Array; source: string }
  /** Without `source` the kernel chooses the source address again. */
  | { type: 'set-endpoint'; peer: number; endpoint: string; source?: string }
  | { type: 'send-keepalive'; peer: number }
  /** A refusal comes back as an input. */
  | { type: 'send-probe'; peer: number; token: number; size: number }
  | { type: 'log'; level: 'debug' | 'info'; peer: string; message: string };

/** Handshake messages without effect, by reason, and cookies sent. */
export const HANDSHAKE_COUNTERS = [
  'malformed',
  'wrongMac1',
  'unknownPeer',
  'unknownIndex',
  'forged',
  'replayed',
  'tooFrequent',
  'rateLimited',
  'cookiesSent',
] as const;
export type HandshakeCounter = (typeof HANDSHAKE_COUNTERS)[number];
