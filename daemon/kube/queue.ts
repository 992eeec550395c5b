/** A bounded queue of unique keys with backoff for failed ones. It has no timers: the caller passes the time. */
import { backoff } from '../../shared/time.ts';

export interface QueueOptions {
  /** First and longest backoff, milliseconds. Default 50 and 60,000. */
  baseMilliseconds?: number;
  mostMilliseconds?: number;
  /** Maximum number of keys; further ones are dropped and counted (a resync brings them back). Default 100,000. */
  limit?: number;
  random?: () => number;
}

/**
 * A queue of keys. A key that is added while it waits is queued once; one that is added while it is processed is processed
 * again afterwards. Processing of a key begins with `take` and ends with `done`.
 */
export interface Queue {
  /** Adds a key that is due at once, even if it was waiting for a later time. */
  add(key: string, now: number): void;
  /** Adds a key that is due at that time, or earlier if it is added for an earlier time. */
  addAt(key: string, time: number): void;
  /** Makes all waiting keys due now. */
  hurry(now: number): void;
  /** The next key that is due; undefined if none is. */
  take(now: number): string | undefined;
  /** Marks a key as processed. If it failed, it is queued again with exponential backoff. */
  done(key: string, outcome: 'succeeded' | 'failed', now: number, least?: number): void;
  /** When the next key is due; undefined if none waits. */
  nextDue(): number | undefined;
  failures(key: string): number;
  readonly waiting: number;
  readonly working: number;
  /** Number of keys dropped because the queue was full. */
  readonly dropped: number;
}

/** Creates an empty queue. */
export function createQueue(options: QueueOptions = {}): Queue {
  const { baseMilliseconds = 50, mostMilliseconds = 60_000, limit = 100_000, random = Math.random } = options;
  /** Due times of waiting keys that are not being processed. Insertion order is the order among equal times. */
  const due = new Map<string, number>();
  const busy = new Set<string>();
  /** Due times of keys that were added again while being processed. */
  const again = new Map<string, number>();
  const failed = new Map<string, number>();
  let dropped = 0;
  /** Not later than the earliest due time: lets `take` skip the search when nothing is due. */
  let earliest = Infinity;

  const put = (key: string, time: number) => {
    const target = busy.has(key) ? again : due;
    const present = target.get(key);
    if (present !== undefined && present <= time) return;
    if (present === undefined && due.size + again.size >= limit) {
      dropped++;
      return;
    }
    target.set(key, time);
    if (target === due && time < earliest) earliest = time;
  };

  return {
    add: (key, now) => put(key, now),
    addAt: put,
    hurry(now) {
      for (const [key, at] of due) if (at > now) due.set(key, now);
      earliest = due.size === 0 ? Infinity : Math.min(earliest, now);
    },
    take(now) {
      if (earliest > now) return undefined;
      let first: string | undefined;
      let time = Infinity;
      for (const [key, at] of due) {
        if (at < time) {
          first = key;
          time = at;
        }
      }
      earliest = time;
      if (first === undefined || time > now) return undefined;
      due.delete(first);
      busy.add(first);
      return first;
    },
    done(key, outcome, now, least = 0) {
      if (!busy.delete(key)) return;
      const next = again.get(key);
      again.delete(key);
      if (outcome === 'succeeded') {
        failed.delete(key);
        if (next !== undefined) put(key, next);
        return;
      }
      const failures = failed.get(key) ?? 0;
      failed.set(key, failures + 1);
      const pause = backoff(failures, { base: baseMilliseconds, most: mostMilliseconds, random });
      // A change may have removed the cause of the failure, so it is retried after the first backoff.
      const retry = now + Math.max(pause, least);
      put(key, next === undefined ? retry : Math.min(retry, Math.max(next, now + baseMilliseconds)));
    },
    nextDue() {
      if (due.size === 0) return undefined;
      let time = Infinity;
      for (const at of due.values()) if (at < time) time = at;
      earliest = time;
      return time;
    },
    failures: (key) => failed.get(key) ?? 0,
    get waiting() {
      return due.size + again.size;
    },
    get working() {
      return busy.size;
    },
    get dropped() {
      return dropped;
    },
  };
}
