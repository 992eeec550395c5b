/**
 * TAI64N timestamps (paper, section 5.1): 8 bytes of seconds since 1970 plus 2^62, 4 of nanoseconds, big-endian, so that
 * comparing bytes compares times. WireGuard uses them as a counter that survives restarts, not as a clock.
 */
import { TIMESTAMP_GRAIN_NANOSECONDS } from './constants-of-implementation.ts';
import { TIMESTAMP_LENGTH } from './constants-of-protocol.ts';

/** 2^62, and the 10 s that TAI was ahead of UTC in 1970 by convention of the format. */
const TAI_BASE = 0x4000_0000_0000_000an;
const NANOSECONDS = 1_000_000_000n;
const GRAIN = BigInt(TIMESTAMP_GRAIN_NANOSECONDS);

/** Nanoseconds since 1970 as a TAI64N label. */
export function encodeTimestamp(nanoseconds: bigint): Uint8Array {
  const bytes = new Uint8Array(TIMESTAMP_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, TAI_BASE + nanoseconds / NANOSECONDS);
  view.setUint32(8, Number(nanoseconds % NANOSECONDS));
  return bytes;
}

/** Whether `left` is later than `right`; both of 12 bytes. */
export function isLater(left: Uint8Array, right: Uint8Array): boolean {
  for (let position = 0; position < TIMESTAMP_LENGTH; position++) {
    const difference = (left[position] ?? 0) - (right[position] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

/**
 * Generates strictly increasing timestamps, even when the wall clock is set back or several are requested at once: a peer
 * ignores an initiation whose timestamp isn't later than the last one it saw.
 */
export class TimestampSource {
  #last: bigint;

  /** `last`: the latest timestamp that an earlier generator may have used for the same peer, see `last`. */
  constructor(last = 0n) {
    this.#last = last;
  }

  /** The latest generated timestamp; 0 if none. */
  get last(): bigint {
    return this.#last;
  }

  /** `wall`: milliseconds since 1970. */
  next(wall: number): Uint8Array {
    const nanoseconds = BigInt(Math.max(0, Math.floor(wall))) * 1_000_000n;
    const rounded = nanoseconds - ((nanoseconds % NANOSECONDS) % GRAIN);
    this.#last = rounded > this.#last ? rounded : this.#last + GRAIN;
    return encodeTimestamp(this.#last);
  }
}
