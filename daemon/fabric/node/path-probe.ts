/**
 * Whether packets pass to a remote cluster and back, found by probing its probe address through both translations. A state
 * machine: its inputs are time and answers, its outputs probes and verdicts.
 */
import type { ProbeTarget } from '../plan/node-plan.ts';

/** Probe intervals: short at first, since a peering waits for the result; long once the path is verified. */
const quickMilliseconds = 250;
const quickFor = 10_000;
const searchMilliseconds = 1_000;
const verifiedMilliseconds = 4_000;
/** After a loss: three losses are detected within 8 s of the last answer. */
const doubtMilliseconds = 500;
/** Jitter as a fraction of the interval, so that clusters do not probe in step. */
const jitter = 0.2;
/** A later answer counts as lost; the longest paths on earth take a third of this. */
const lostAfterMilliseconds = 1_500;
/** After this many consecutive losses the path is no longer verified. */
const lossesAllowed = 3;
/** Maximum number of outstanding probes. */
const outstandingLimit = 16;
/** Loss is reported over this many probes: the last four minutes of a verified path. */
const countedQuestions = 64;

export interface ProbeVerdict {
  verified: boolean;
  /** A sentence. */
  message: string;
  roundTripMilliseconds?: number;
  /** Milliseconds since 1970, of the last answer. */
  answeredAt?: number;
  /** Of the last probes: how many were completed, and how many of those were lost. */
  questions: { sent: number; lost: number };
}

/** The verdict without the counters. */
type ProbeState = Omit<ProbeVerdict, 'questions'>;

export class PathProbe {
  #target: ProbeTarget;
  /** Own address as the remote last saw it. */
  #seen: { source: string; roundTripMilliseconds: number; at: number } | undefined;
  readonly #outstanding = new Map<string, number>();
  readonly #begun: number;
  #next: number;
  #losses = 0;
  /** Whether each of the last probes was answered, the oldest first. */
  readonly #ended: boolean[] = [];
  #verdict: ProbeState;

  /** `now`: monotonic, as everywhere here; a question is due however the time of day moves. */
  constructor(target: ProbeTarget, now: number) {
    this.#target = target;
    this.#begun = now;
    this.#next = now;
    this.#verdict = {
      verified: false,
      message: `waiting for the first answer from ${target.remoteCluster} at ${target.address}`,
    };
  }

  get target(): ProbeTarget {
    return this.#target;
  }

  get verdict(): ProbeVerdict {
    const lost = this.#ended.filter((answered) => !answered).length;
    return { ...this.#verdict, questions: { sent: this.#ended.length, lost } };
  }

  /** When `poll` wants to be called next, by the clock that it is given. */
  get due(): number {
    const [oldest] = this.#outstanding.values();
    return oldest === undefined ? this.#next : Math.min(this.#next, oldest + lostAfterMilliseconds);
  }

  /** Counts losses, and returns the stamp of a probe to be sent now, if any. `random` is from 0 to 1. */
  poll(now: number, makeStamp: () => string, random: () => number): string | undefined {
    for (const [stamp, sentAt] of this.#outstanding) {
      if (now - sentAt < lostAfterMilliseconds) break;
      this.#outstanding.delete(stamp);
      this.#lose();
    }
    if (now < this.#next) return undefined;
    this.#next = now + this.#interval(now) * (1 + jitter * (random() - 0.5));
    if (this.#outstanding.size >= outstandingLimit) return undefined;
    const stamp = makeStamp();
    this.#outstanding.set(stamp, now);
    return stamp;
  }

  /** Takes an answer; an unsolicited or late one is ignored. `shownAt`: milliseconds since 1970. */
  answer(stamp: string, source: string, now: number, shownAt: number): void {
    const sentAt = this.#outstanding.get(stamp);
    if (sentAt === undefined) return;
    this.#outstanding.delete(stamp);
    this.#losses = 0;
    // Probes sent before the path existed do not count as lost.
    if (this.#seen === undefined) {
      this.#ended.length = 0;
      this.#outstanding.clear();
    }
    this.#count(true);
    this.#seen = { source, roundTripMilliseconds: now - sentAt, at: shownAt };
    this.#evaluate();
  }

  /** The remote declared the address by which it should see this node; a verified path stays verified if it matches. */
  expect(source: string | undefined): void {
    if (source === this.#target.expected) return;
    const { expected: _, ...target } = this.#target;
    this.#target = source === undefined ? target : { ...target, expected: source };
    if (this.#losses < lossesAllowed) this.#evaluate();
  }

  #evaluate(): void {
    if (this.#seen === undefined) return;
    const { source, roundTripMilliseconds, at } = this.#seen;
    const { remoteCluster, expected } = this.#target;
    const right = expected === undefined || source === expected;
    this.#verdict = {
      verified: right,
      message: right
        ? `${remoteCluster} answers through the tunnel and sees this node as ${source}`
        : `${remoteCluster} answers, but sees this node as ${source} instead of ${expected}: the two sides do not agree on the remapping yet`,
      roundTripMilliseconds,
      answeredAt: at,
    };
  }

  #count(answered: boolean): void {
    this.#ended.push(answered);
    if (this.#ended.length > countedQuestions) this.#ended.shift();
  }

  #lose(): void {
    this.#losses++;
    this.#count(false);
    // One loss may be chance; probe more often.
    if (this.#losses === 1 && this.#verdict.verified) this.#next = -Infinity;
    if (this.#losses < lossesAllowed) return;
    const { remoteCluster, address } = this.#target;
    const before = this.#verdict.answeredAt;
    this.#verdict = {
      verified: false,
      message:
        before === undefined
          ? `no answer from ${remoteCluster} at ${address} yet: check that its tunnel endpoint runs and can be reached by UDP`
          : `no answer from ${remoteCluster} at ${address} since ${new Date(before).toISOString()}`,
      ...(before !== undefined && { answeredAt: before }),
    };
  }

  #interval(now: number): number {
    if (this.#verdict.verified) return this.#losses === 0 ? verifiedMilliseconds : doubtMilliseconds;
    return now - this.#begun < quickFor ? quickMilliseconds : searchMilliseconds;
  }
}
