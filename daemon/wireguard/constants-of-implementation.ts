/** Numbers that this implementation chose, and may change without any peer noticing. */

/**
 * Counters are looked at this often (milliseconds) while any session lives. It bounds how late the passive timers, which
 * have 5 s of slack by design (paper, section 6.5), notice that traffic began.
 */
export const OBSERVATION_INTERVAL = 500;

/** Handshake messages waiting at once from which on cookies are demanded (paper, section 5.3: "under load"). */
export const LOAD_BACKLOG = 128;
/** Load is assumed for this long (milliseconds) after it was last seen, so that the demand doesn't flap. */
export const LOAD_HOLD = 1_000;

/** Handshake messages per second and at once from one address that are worked on while under load. */
export const SOURCE_RATE = 20;
export const SOURCE_BURST = 5;
/** Addresses remembered by the limiter; a new one beyond that is refused, which only happens under a flood. */
export const SOURCE_LIMIT = 16_384;
/** An address that has been silent this long (milliseconds) is forgotten. */
export const SOURCE_FORGET = 1_000;

/**
 * Timestamps are rounded down to 2^24 ns (16.8 ms): still finer than the 50 ms between two initiations that a peer
 * accepts, and too coarse to give away this machine's clock to whoever measures it.
 */
export const TIMESTAMP_GRAIN_NANOSECONDS = 1 << 24;

/** Sessions, and so peers, one engine is made for when the caller doesn't say. */
export const DEFAULT_MAXIMUM_PEERS = 1_024;

/** Random indices tried before giving up; with 2^32 to choose from the second is already a rarity. */
export const INDEX_ATTEMPTS = 64;
