/**
 * Finds how large an inner packet may be towards one peer, by probes inside the session (RFC 8899, packetization layer path MTU
 * discovery), as a pure state machine: what happened and the time go in, the next probe comes out. It needs no ICMP, so a path
 * that drops what is too big in silence is found out too. A peer of another make never answers: then nothing is known, and
 * the configured MTU holds. Times are milliseconds on one monotonic clock.
 */

/** RFC 8899, section 5.1: a probe is sent so often before its size is held for too big (MAX_PROBES). */
const ATTEMPTS = 3;
/** Bytes of a probe that any path takes: asks whether the peer answers at all. */
const SMALL = 64;
/** The search ends when it is known to so many bytes; sizes on the wire go in steps of 16 anyway. */
const GRAIN = 8;
/** IPv6 needs it of every link (RFC 8200, section 5); below, the outer packets are fragmented instead. */
export const LEAST_MTU = 1_280;
/** Deadlines meet on this grid (milliseconds), so that a thousand peers wake the loop a few times a second and no more. */
const GRID = 250;
/** An answer is given so many round trips, within the bounds. */
const ROUND_TRIPS = 4;
const SHORTEST_TIMEOUT = 300;

export interface PathMTUTimes {
  /** For an answer, at most. */
  probeTimeout: number;
  /** Between two looks whether what passed still passes. */
  confirmInterval: number;
  /** Between two looks whether more passes (RFC 8899, section 5.1.1: PMTU_RAISE_TIMER, there 600 s). */
  raiseInterval: number;
  /** Between two questions to a peer that doesn't answer: at first, and at most after doubling. */
  askInterval: number;
  longestAskInterval: number;
}

export const PATH_MTU_TIMES: Readonly<PathMTUTimes> = {
  probeTimeout: 1_000,
  confirmInterval: 10_000,
  raiseInterval: 60_000,
  askInterval: 5_000,
  longestAskInterval: 300_000,
};

export interface Probe {
  token: number;
  /** Inner bytes. */
  size: number;
}

/** A probe under way: all its attempts have one token, so that a late answer counts. */
interface Flight extends Probe {
  sentAt: number;
  attempt: number;
  /** The size that wasn't answered; this probe only asks whether the path lives at all. */
  doubted?: number;
}

export class PathMTU {
  readonly #times: PathMTUTimes;
  #ceiling: number;
  #phase: 'idle' | 'asking' | 'searching' | 'settled' = 'idle';
  /** Known to pass, and known not to; above the ceiling: not tried yet. */
  #passes = SMALL;
  #fails: number;
  /** What holds while nothing newer is known. */
  #mtu: number;
  #measured: number | undefined;
  #flight: Flight | null = null;
  #token = 0;
  /** When the next probe is due. */
  #at = 0;
  #raiseAt = 0;
  #askInterval: number;
  #timeout: number;

  constructor(times: PathMTUTimes, ceiling: number) {
    this.#times = times;
    this.#ceiling = ceiling;
    this.#fails = ceiling + 1;
    this.#mtu = ceiling;
    this.#askInterval = times.askInterval;
    this.#timeout = times.probeTimeout;
  }

  /** Largest inner packet to send. */
  get mtu(): number {
    return this.#mtu;
  }

  /** What probes found to pass; undefined: nothing yet, or no session to find it in. */
  get measured(): number | undefined {
    return this.#measured;
  }

  /** What `mtu` is once `ceiling` is the configured one. */
  under(ceiling: number): number {
    const untouched = this.#mtu === this.#ceiling && this.#measured === undefined;
    return untouched ? ceiling : Math.min(this.#mtu, ceiling);
  }

  /** As configured; another one starts the search anew. */
  setCeiling(ceiling: number): void {
    if (ceiling === this.#ceiling) return;
    this.#mtu = this.under(ceiling);
    this.#ceiling = ceiling;
    if (this.#measured !== undefined) this.#measured = Math.min(this.#measured, ceiling);
    if (this.#phase !== 'idle') this.#ask(0);
  }

  /** The peer is somewhere else: all is open again. */
  moved(now: number): void {
    if (this.#phase !== 'idle') this.#ask(now);
  }

  /** An answer came. */
  answered(token: number, now: number): void {
    const flight = this.#flight;
    if (flight === null || flight.token !== token) return;
    this.#flight = null;
    if (flight.size === SMALL && flight.attempt === 1)
      this.#timeout = Math.min(
        this.#times.probeTimeout,
        Math.max(SHORTEST_TIMEOUT, ROUND_TRIPS * (now - flight.sentAt)),
      );
    if (this.#phase === 'asking') {
      this.#askInterval = this.#times.askInterval;
      this.#search(SMALL, now);
    } else if (flight.doubted !== undefined) this.#tooBig(flight.doubted, now);
    else if (this.#phase === 'searching') {
      this.#passes = Math.max(this.#passes, flight.size);
      this.#mtu = Math.max(this.#mtu, this.#passes);
      this.#step(now);
    } else if (this.#passes < this.#ceiling && now >= this.#raiseAt) this.#search(this.#passes, now);
    else this.#at = now + this.#times.confirmInterval;
  }

  /** This machine's own interface didn't take the probe. */
  refused(token: number, now: number): void {
    const flight = this.#flight;
    if (flight === null || flight.token !== token) return;
    this.#flight = null;
    // Not even the smallest: an interface that is going away, or a firewall. As if it had been lost.
    if (flight.size === SMALL) this.#unanswered(now);
    else this.#tooBig(flight.size, now);
  }

  /** Time passed; `established`: there is a session that seals. Answers with a probe to send now. */
  advance(established: boolean, now: number): Probe | null {
    if (!established) {
      this.#phase = 'idle';
      this.#flight = null;
      this.#measured = undefined;
      return null;
    }
    if (this.#phase === 'idle') this.#ask(now);
    const flight = this.#flight;
    if (flight !== null) {
      if (now < flight.sentAt + this.#timeout) return null;
      if (flight.attempt < ATTEMPTS) {
        flight.attempt++;
        flight.sentAt = now;
        return { token: flight.token, size: flight.size };
      }
      this.#flight = null;
      if (flight.size === SMALL) this.#unanswered(now);
      // Before a size is held for too big, something small must have passed: the path may just be down.
      else return this.#send(SMALL, now, flight.size);
    }
    if (now < this.#at) return null;
    if (this.#phase === 'asking') return this.#send(SMALL, now);
    return this.#send(this.#phase === 'settled' ? this.#passes : (this.#candidate() ?? SMALL), now);
  }

  /** When `advance` should be called at the latest; null: not before a session begins. */
  get nextDeadline(): number | null {
    if (this.#phase === 'idle') return null;
    const at = this.#flight === null ? this.#at : this.#flight.sentAt + this.#timeout;
    return Math.ceil(at / GRID) * GRID;
  }

  #send(size: number, now: number, doubted?: number): Probe {
    this.#token = (this.#token % 0xffff_ffff) + 1;
    const probe = { token: this.#token, size };
    this.#flight = { ...probe, sentAt: now, attempt: 1, ...(doubted === undefined ? {} : { doubted }) };
    return probe;
  }

  #ask(now: number): void {
    this.#phase = 'asking';
    this.#flight = null;
    this.#at = now;
    this.#timeout = this.#times.probeTimeout;
    this.#askInterval = this.#times.askInterval;
  }

  /** The peer doesn't speak this, or the path is down; what was known stays until it is known better. */
  #unanswered(now: number): void {
    this.#phase = 'asking';
    this.#timeout = this.#times.probeTimeout;
    this.#at = now + this.#askInterval;
    this.#askInterval = Math.min(this.#askInterval * 2, this.#times.longestAskInterval);
  }

  /** From what passes upwards, the ceiling first. */
  #search(passes: number, now: number): void {
    this.#phase = 'searching';
    this.#flight = null;
    this.#passes = passes;
    this.#fails = this.#ceiling + 1;
    this.#step(now);
  }

  #tooBig(size: number, now: number): void {
    if (this.#phase === 'settled') {
      // What passed passes no more: less must do, and the rest is found out from below.
      this.#phase = 'searching';
      this.#passes = SMALL;
    }
    this.#fails = Math.min(this.#fails, size);
    this.#mtu = Math.min(this.#ceiling, Math.max(LEAST_MTU, this.#passes));
    this.#step(now);
  }

  #step(now: number): void {
    this.#at = now;
    if (this.#candidate() !== null) return;
    this.#phase = 'settled';
    this.#measured = this.#passes;
    this.#mtu = Math.min(this.#ceiling, Math.max(LEAST_MTU, this.#passes));
    this.#at = now + this.#times.confirmInterval;
    this.#raiseAt = now + this.#times.raiseInterval;
  }

  /** The size to try next; null: known well enough. */
  #candidate(): number | null {
    if (this.#passes >= this.#ceiling) return null;
    if (this.#fails > this.#ceiling) return this.#ceiling;
    if (this.#passes < LEAST_MTU && this.#fails > LEAST_MTU) return LEAST_MTU;
    return this.#fails - this.#passes > GRAIN
      ? this.#passes + Math.floor((this.#fails - this.#passes) / 2)
      : null;
  }
}
