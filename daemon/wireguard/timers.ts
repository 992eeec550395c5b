/**
 * The timers of one peer (paper, section 6) as a pure state machine. Its inputs are method calls and the engine's counters
 * (`Observation`); `advance` returns the actions. Times are milliseconds on one monotonic clock that includes suspend.
 *
 * Data packets are not reported one by one: the engine's "last sent" and "last received" give the time of the latest one,
 * and `advance` infers from consecutive readings whether an answer is owed or awaited.
 */
import { ZERO_AFTER_REJECT_TIMES } from './constants-of-protocol.ts';
import type { ProtocolTimes } from './constants-of-protocol.ts';

/** When packets of each kind last passed; 0 means never. */
export interface Observation {
  lastDataReceived: number;
  lastDataSent: number;
  /** Any authenticated transport message, including keepalives. */
  lastReceived: number;
  lastSent: number;
}

export type TimerAction =
  /** Send an initiation. `retry`: it continues the current attempts; `silent`: the peer stopped answering. */
  | { type: 'initiate'; retry: boolean; silent: boolean }
  | { type: 'keepalive' }
  /** The attempts ended without success. */
  | { type: 'give-up' }
  /** Erase all session keys and the state of a handshake. */
  | { type: 'erase-keys' };

interface CurrentSession {
  initiator: boolean;
  createdAt: number;
  /** Section 6.2: received data triggers at most one rekey per session. */
  askedLate: boolean;
}

export class PeerTimers {
  readonly #times: ProtocolTimes;
  /** A whole number of milliseconds, at least 0 and below its argument. */
  readonly #jitter: (bound: number) => number;
  #persistentInterval = 0;
  #persistentDue = false;
  #persistentSentAt = 0;

  #session: CurrentSession | null = null;
  #attemptsSince: number | null = null;
  #initiatedAt = Number.NEGATIVE_INFINITY;
  #retryAt: number | null = null;
  /** When the newest keys were created, for erasing them. */
  #keysAt: number | null = null;

  #lastHandshakeSent = 0;
  #lastHandshakeReceived = 0;
  /** Data was received at `since`, and nothing was sent since then. */
  #owed: { since: number; at: number } | null = null;
  /** Data was sent at `since`, and nothing was received since then. */
  #awaited: { since: number; at: number } | null = null;

  constructor(times: ProtocolTimes, jitter: (bound: number) => number) {
    this.#times = times;
    this.#jitter = jitter;
  }

  /** Milliseconds; 0 means off. Turning it on sends a keepalive at once. */
  setPersistentInterval(milliseconds: number): void {
    if (milliseconds > 0 && this.#persistentInterval === 0) this.#persistentDue = true;
    if (milliseconds === 0) this.#persistentDue = false;
    this.#persistentInterval = milliseconds;
  }

  /** Whether an initiation may be sent now: not within REKEY_TIMEOUT of the last one (section 6.1). */
  mayInitiate(now: number): boolean {
    return now - this.#initiatedAt >= this.#times.rekeyTimeout;
  }

  /** Whether handshake attempts are in progress. */
  get attempting(): boolean {
    return this.#retryAt !== null;
  }

  /** An initiation was sent. The first of a series starts the 90 s after which attempts end (section 6.4). */
  initiationSent(now: number, retry: boolean): void {
    if (!retry || this.#attemptsSince === null) this.#attemptsSince = now;
    this.#initiatedAt = now;
    this.#retryAt = now + this.#times.rekeyTimeout + this.#jitter(this.#times.rekeyTimeoutJitter);
    this.#lastHandshakeSent = now;
  }

  /** Ends the attempts, since the peer has no endpoint. The next request starts a new series. */
  attemptsEnded(): void {
    this.#attemptsSince = null;
    this.#retryAt = null;
  }

  responseSent(now: number): void {
    this.#lastHandshakeSent = now;
  }

  /** An authentic handshake message was received. */
  handshakeReceived(now: number): void {
    this.#lastHandshakeReceived = now;
  }

  /** New keys were created, confirmed or not. */
  keysDerived(now: number): void {
    this.#keysAt = now;
  }

  /** A session became the current one: as initiator with the response, as responder with its first packet (section 5.1). */
  sessionBegan(createdAt: number, initiator: boolean): void {
    this.#session = { initiator, createdAt, askedLate: false };
    this.#attemptsSince = null;
    this.#retryAt = null;
  }

  /** All keys are gone (erased, or our own key changed). */
  keysErased(): void {
    this.#session = null;
    this.#keysAt = null;
    this.#attemptsSince = null;
    this.#retryAt = null;
    this.#initiatedAt = Number.NEGATIVE_INFINITY;
    this.#owed = null;
    this.#awaited = null;
  }

  /** Whether counters can change the result of `advance`, so that they must be read. */
  get needsObservation(): boolean {
    return this.#keysAt !== null;
  }

  /** Returns the actions that are due. */
  advance(observation: Observation, now: number): TimerAction[] {
    const actions: TimerAction[] = [];
    const sent = Math.max(observation.lastSent, this.#lastHandshakeSent);
    const received = Math.max(observation.lastReceived, this.#lastHandshakeReceived);

    if (this.#keysAt !== null && now - this.#keysAt >= this.#times.rejectAfterTime * ZERO_AFTER_REJECT_TIMES)
      return [{ type: 'erase-keys' }];

    const initiate =
      this.#retry(now, actions) ?? this.#unheard(observation, received, now) ?? this.#rekey(observation, now);
    if (initiate !== null) actions.push(initiate);
    this.#keepalives(observation, sent, received, now, actions);
    return actions;
  }

  /** The earliest time at which `advance` may return an action without any packet; `null` means never. */
  nextDeadline(observation: Observation): number | null {
    const deadlines: number[] = [];
    if (this.#retryAt !== null) deadlines.push(this.#retryAt);
    if (this.#keysAt !== null)
      deadlines.push(this.#keysAt + this.#times.rejectAfterTime * ZERO_AFTER_REJECT_TIMES);
    if (this.#owed !== null) deadlines.push(this.#owed.at);
    if (this.#awaited !== null) deadlines.push(this.#awaited.at);
    if (this.#persistentInterval > 0) deadlines.push(this.#persistentAt(observation));
    return deadlines.length === 0 ? null : Math.min(...deadlines);
  }

  /** Section 6.4: retries after REKEY_TIMEOUT and jitter until REKEY_ATTEMPT_TIME has passed. */
  #retry(now: number, actions: TimerAction[]): TimerAction | null {
    if (this.#retryAt === null || now < this.#retryAt) return null;
    if (this.#attemptsSince !== null && now - this.#attemptsSince >= this.#times.rekeyAttemptTime) {
      this.#retryAt = null;
      this.#attemptsSince = null;
      // The awaited answer will not come; the next packet to be sent starts a new series.
      this.#awaited = null;
      // The state of a failed attempt is erased like the keys of a session (section 6.3).
      this.#keysAt ??= now;
      actions.push({ type: 'give-up' });
      return null;
    }
    return { type: 'initiate', retry: true, silent: true };
  }

  /** Section 6.5 seen from the other end: an answer, if only a keepalive, is due within KEEPALIVE + REKEY_TIMEOUT. */
  #unheard(observation: Observation, received: number, now: number): TimerAction | null {
    if (this.#awaited !== null && received > this.#awaited.since) this.#awaited = null;
    if (this.#awaited === null) {
      // Attempts in progress already react to the silence.
      if (!this.attempting && observation.lastDataSent > received && observation.lastDataSent > 0)
        this.#awaited = {
          since: observation.lastDataSent,
          at:
            observation.lastDataSent +
            this.#times.keepaliveTimeout +
            this.#times.rekeyTimeout +
            this.#jitter(this.#times.rekeyTimeoutJitter),
        };
      return null;
    }
    if (now < this.#awaited.at) return null;
    this.#awaited = null;
    return this.attempting || !this.mayInitiate(now)
      ? null
      : { type: 'initiate', retry: false, silent: true };
  }

  /** Section 6.2: only the initiator of a session renews it, so that both sides don't do it at once. */
  #rekey(observation: Observation, now: number): TimerAction | null {
    const session = this.#session;
    if (session === null || !session.initiator || this.attempting || !this.mayInitiate(now)) return null;
    if (now - session.createdAt >= this.#times.rejectAfterTime) return null;
    const initiate: TimerAction = { type: 'initiate', retry: false, silent: false };
    if (observation.lastSent >= session.createdAt + this.#times.rekeyAfterTime) return initiate;
    const late =
      session.createdAt +
      this.#times.rejectAfterTime -
      this.#times.keepaliveTimeout -
      this.#times.rekeyTimeout;
    if (!session.askedLate && observation.lastReceived >= late) {
      session.askedLate = true;
      return initiate;
    }
    return null;
  }

  #keepalives(
    observation: Observation,
    sent: number,
    received: number,
    now: number,
    actions: TimerAction[],
  ): void {
    let wanted = false;
    if (this.#owed !== null && sent > this.#owed.since) this.#owed = null;
    if (this.#owed === null) {
      if (observation.lastDataReceived > sent)
        this.#owed = {
          since: observation.lastDataReceived,
          at: observation.lastDataReceived + this.#times.keepaliveTimeout,
        };
    } else if (now >= this.#owed.at) {
      wanted = true;
      this.#owed = null;
    }
    if (this.#persistentInterval > 0 && (this.#persistentDue || now >= this.#persistentAt(observation))) {
      this.#persistentDue = false;
      this.#persistentSentAt = now;
      wanted = true;
    }
    if (wanted) actions.push({ type: 'keepalive' });
  }

  /** Any authenticated packet in either direction postpones the persistent keepalive (section 6.5 leaves it to the user). */
  #persistentAt(observation: Observation): number {
    const last = Math.max(
      observation.lastSent,
      observation.lastReceived,
      this.#lastHandshakeSent,
      this.#lastHandshakeReceived,
      this.#persistentSentAt,
    );
    return this.#persistentDue ? 0 : last + this.#persistentInterval;
  }
}
