/**
 * Finds the largest inner packet that reaches one peer, by probes inside the session (RFC 8899, packetization layer path MTU
 * discovery), as a pure state machine: its inputs are events and the time, its output the next probe. It needs no ICMP, so it
 * also detects paths that silently drop large packets. Other WireGuard implementations never answer: then the configured MTU
 * is used. Times are milliseconds on one monotonic clock.
 */

/** RFC 8899, section 5.1: attempts of a probe before its size counts as too big (MAX_PROBES). */
const ATTEMPTS = 3;
/** Bytes of a probe that passes any path; it finds out whether the peer answers at all. */
const SMALL = 64;
/** Precision of the search in bytes; sizes on the wire are multiples of 16 anyway. */
const GRAIN = 8;
/** IPv6's minimum link MTU (RFC 8200, section 5); below it, the outer packets are fragmented instead. */
export const LEAST_MTU = 1_280;
/** Deadlines are rounded to this grid (milliseconds), so that a thousand peers wake the loop only a few times per second. */
const GRID = 250;
/** Timeout of an answer in round-trip times, within the bounds below. */
const ROUND_TRIPS = 4;
const SHORTEST_TIMEOUT = 300;

export interface PathMTUTimes {
  /** Maximum timeout of an answer. */
  probeTimeout: number;
  /** Interval at which a known size is confirmed. */
  confirmInterval: number;
  /** Interval of the search for a larger size (RFC 8899, section 5.1.1: PMTU_RAISE_TIMER, there 600 s). */
  raiseInterval: number;
  /** Probe interval for a peer that doesn't answer: initial, and maximum after doubling. */
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

/** An outstanding probe: all its attempts share a token, so that a late answer counts. */
interface Flight extends Probe {
  sentAt: number;
  attempt: number;
  /** The size that wasn't answered; this small probe checks whether the path works at all. */
  doubted?: number;
}

export class PathMTU {
  readonly #times: PathMTUTimes;
  #ceiling: number;
  #phase: 'idle' | 'asking' | 'searching' | 'settled' = 'idle';
  /** Largest size known to pass, and smallest known to fail; the latter is above the ceiling until one failed. */
  #passes = SMALL;
  #fails: number;
  /** The MTU in use. */
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

  /** Largest inner packet to be sent. */
  get mtu(): number {
    return this.#mtu;
  }

  /** The largest size that passed as a probe; undefined if unknown yet, or without a session. */
  get measured(): number | undefined {
    return this.#measured;
  }

  /** The value of `mtu` once `ceiling` is configured. */
  under(ceiling: number): number {
    const untouched = this.#mtu === this.#ceiling && this.#measured === undefined;
    return untouched ? ceiling : Math.min(this.#mtu, ceiling);
  }

  /** Sets the configured MTU; a different one restarts the search. */
  setCeiling(ceiling: number): void {
    if (ceiling === this.#ceiling) return;
    this.#mtu = this.under(ceiling);
    this.#ceiling = ceiling;
    if (this.#measured !== undefined) this.#measured = Math.min(this.#measured, ceiling);
    if (this.#phase !== 'idle') this.#ask(0);
  }

  /** The peer's endpoint changed: the search restarts. */
  moved(now: number): void {
    if (this.#phase !== 'idle') this.#ask(now);
  }

  /** Takes an answer. */
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

  /** The local interface refused the probe as too large. */
  refused(token: number, now: number): void {
    const flight = this.#flight;
    if (flight === null || flight.token !== token) return;
    this.#flight = null;
    // Even the smallest: the interface is being removed, or a firewall rejects it. Treated as a loss.
    if (flight.size === SMALL) this.#unanswered(now);
    else this.#tooBig(flight.size, now);
  }

  /** Advances the time; `established`: there is a session that can send. Returns a probe to be sent now. */
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
      // Before a size counts as too big, a small probe must have passed: the path may be down.
      else return this.#send(SMALL, now, flight.size);
    }
    if (now < this.#at) return null;
    if (this.#phase === 'asking') return this.#send(SMALL, now);
    return this.#send(this.#phase === 'settled' ? this.#passes : (this.#candidate() ?? SMALL), now);
  }

  /** When `advance` must be called at the latest; null: not before a session begins. */
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

  /** The peer doesn't support probes, or the path is down; the last result stays until there is a new one. */
  #unanswered(now: number): void {
    this.#phase = 'asking';
    this.#timeout = this.#times.probeTimeout;
    this.#at = now + this.#askInterval;
    this.#askInterval = Math.min(this.#askInterval * 2, this.#times.longestAskInterval);
  }

  /** Searches upwards from the size that passes, trying the ceiling first. */
  #search(passes: number, now: number): void {
    this.#phase = 'searching';
    this.#flight = null;
    this.#passes = passes;
    this.#fails = this.#ceiling + 1;
    this.#step(now);
  }

  #tooBig(size: number, now: number): void {
    if (this.#phase === 'settled') {
      // A size that used to pass fails: fall back to a smaller one and search upwards again.
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

  /** The next size to try; null when the precision is reached. */
  #candidate(): number | null {
    if (this.#passes >= this.#ceiling) return null;
    if (this.#fails > this.#ceiling) return this.#ceiling;
    if (this.#passes < LEAST_MTU && this.#fails > LEAST_MTU) return LEAST_MTU;
    return this.#fails - this.#passes > GRAIN
      ? this.#passes + Math.floor((this.#fails - this.#passes) / 2)
      : null;
  }
}
