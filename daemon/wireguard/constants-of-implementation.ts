/** Constants that this implementation chose and may change without affecting any peer. */

/**
 * Counters are read at this interval (milliseconds) while any session lives. It bounds how late the passive timers, which
 * have 5 s of slack by design (paper, section 6.5), notice that traffic began.
 */
export const OBSERVATION_INTERVAL = 500;

/** Number of queued handshake messages from which on cookies are required (paper, section 5.3: "under load"). */
export const LOAD_BACKLOG = 128;
/** The device counts as under load for this long (milliseconds) after load was last seen, so that the state doesn't flap. */
export const LOAD_HOLD = 1_000;

/** Rate (per second) and burst of handshake messages processed per address while under load. */
export const SOURCE_RATE = 20;
export const SOURCE_BURST = 5;
/** Maximum number of addresses in the limiter; further ones are refused, which only happens under a flood. */
export const SOURCE_LIMIT = 16_384;
/** An address that has been silent for this long (milliseconds) is dropped. */
export const SOURCE_FORGET = 1_000;

/**
 * Timestamps are rounded down to 2^24 ns (16.8 ms): still finer than the 50 ms between two initiations that a peer
 * accepts, and too coarse to reveal this machine's exact clock.
 */
export const TIMESTAMP_GRAIN_NANOSECONDS = 1 << 24;

/** Default maximum number of sessions, and thus of peers, of an engine. */
export const DEFAULT_MAXIMUM_PEERS = 1_024;

/** Random indices tried before giving up; among 2^32, even a second attempt is rare. */
export const INDEX_ATTEMPTS = 64;
