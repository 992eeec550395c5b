/** What goes into a device and what comes out of it: plain values, so that a test can write them down. */
import type { EngineDifference, Keypair } from '../../native/index.d.ts';
import type { RandomBytes } from './primitives.ts';
import type { Observation } from './timers.ts';

/** One moment on two clocks, both in milliseconds: a monotonic one that counts sleep, and the time of day since 1970. */
export interface Moment {
  monotonic: number;
  wall: number;
}

/** What a device needs of its surroundings. */
export interface DeviceEnvironment {
  random: RandomBytes;
  /** Whether the engine uses an index for something else. */
  indexTaken: (index: number) => boolean;
  /** When packets of a peer last passed, on the monotonic clock. */
  observe: (peer: number) => Observation;
}

export type DeviceInput =
  /** `backlog`: how many more handshake messages wait behind this one. Addresses in text, as the engine writes them. */
  | { type: 'handshake'; source: string; destination: string; bytes: Uint8Array; backlog: number }
  | { type: 'handshake-wanted'; peer: number }
  | { type: 'session-confirmed'; peer: number; localIndex: number }
  | { type: 'endpoint-changed'; peer: number; endpoint: string }
  | { type: 'probe-answered'; peer: number; token: number }
  /** This machine's own interface is too small for the probe. */
  | { type: 'probe-refused'; peer: number; token: number };

export type DeviceEffect =
  | { type: 'set-public-key'; publicKey: Uint8Array | null }
  /** So that the engine knows who holds a cookie. Null: none was given out. */
  | { type: 'set-cookie-secret'; secret: Uint8Array | null }
  | { type: 'apply'; difference: EngineDifference }
  /** The keys in it are to be erased once handed over. */
  | { type: 'add-keypair'; peer: number; keypair: Keypair }
  | { type: 'clear-keypairs'; peer: number }
  | { type: 'send-to-peer'; peer: number; bytes: Uint8Array }
  | { type: 'send-to'; destination: string; bytes: Uint8Array; source: string }
  /** Without `source` the kernel chooses the address to send from anew. */
  | { type: 'set-endpoint'; peer: number; endpoint: string; source?: string }
  | { type: 'send-keepalive'; peer: number }
  /** Whether it was refused comes back as an input. */
  | { type: 'send-probe'; peer: number; token: number; size: number }
  | { type: 'log'; level: 'debug' | 'info'; peer: string; message: string };

/** Handshake messages that led to nothing, by reason, and cookies sent. */
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
