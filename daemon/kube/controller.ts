/** Level-triggered controllers: an event queues a key, `reconcile` reads the current state. */
import { deadline, systemClock, type Clock } from '../../shared/time.ts';
import { KubeError, isAborted, isConflict, messageOf } from '../../shared/kube/errors.ts';
import type { Informer } from '../../shared/kube/informer.ts';
import type { Log } from './log.ts';
import { createQueue, type Queue } from './queue.ts';
import { keyOf, type AnyObject } from '../../shared/kube/refs.ts';

/** What queues keys. */
export interface Source {
  /** Calls `enqueue` for every key that may need work, from now on. Returns how to stop. */
  subscribe(enqueue: (key: string) => void): () => void;
  /** Resolves when the first look at the world is complete. */
  synced(signal: AbortSignal): Promise<void>;
}

export interface Result {
  /** Look again then, whatever happens. */
  requeueAfterMilliseconds?: number;
}

export interface ControllerOptions {
  /** For logs and metrics. */
  name: string;
  sources: readonly Source[];
  /**
   * Makes the world of one key as it should be, from what the caches hold now. Throws when it could not: then it is
   * called again, with backoff. Never called twice at once for a key.
   */
  reconcile(key: string, signal: AbortSignal): Promise<Result | void>;
  /** Keys at a time. Default 4. */
  concurrency?: number;
  /** Of one reconcile; then its signal is aborted. Default 60 s. */
  timeoutMilliseconds?: number;
  log?: Log;
  clock?: Clock;
  queue?: Queue;
  metrics?: ControllerMetrics;
}

/** Counters of a controller, for `/metrics`. */
export interface ControllerMetrics {
  reconciled(name: string, outcome: 'succeeded' | 'failed', seconds: number): void;
  queued(name: string, waiting: number): void;
  /** Something that a remote cluster asked for or said was refused; `what` is one of a few words. */
  refused(remoteCluster: string, what: string): void;
}

/**
 * Keys from an informer: by default the key of the object that changed; or whatever `keys` says of it and of what it was.
 */
export function from<T extends AnyObject>(
  informer: Informer<T>,
  keys: (object: T, previous: T | undefined) => readonly string[] = (object) => [keyOf(object)],
): Source {
  return {
    subscribe: (enqueue) =>
      informer.onChange((_key, object, previous) => {
        const queued = new Set<string>();
        if (object !== undefined) for (const key of keys(object, previous)) queued.add(key);
        // The object that it referred to before may need work too.
        if (previous !== undefined) for (const key of keys(previous, undefined)) queued.add(key);
        for (const key of queued) enqueue(key);
      }),
    synced: (signal) => informer.synced(signal),
  };
}

/** Keys from anything else: call `trigger(key)`. */
export function triggers(): Source & { trigger(key: string): void } {
  const subscribers = new Set<(key: string) => void>();
  return {
    subscribe(enqueue) {
      subscribers.add(enqueue);
      return () => subscribers.delete(enqueue);
    },
    synced: () => Promise.resolve(),
    trigger(key) {
      for (const enqueue of subscribers) enqueue(key);
    },
  };
}

/** A clock that was moved is noticed so soon. */
const longestNap = 60_000;
/** By so much the time of day must move against the monotonic clock; slower corrections add up to it. Milliseconds. */
const movedBy = 1_000;

/** Runs a controller until the signal is aborted; returns when the work at hand has ended. */
export async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const {
    name,
    sources,
    concurrency = 4,
    timeoutMilliseconds = 60_000,
    clock = systemClock,
    queue = createQueue(),
    metrics,
  } = options;
  const log = options.log?.with({ controller: name });
  let offset = clock.now() - clock.monotonic();
  let started = false;
  let cancelTimer = () => {};
  let timerAt = Infinity;
  const working = new Set<Promise<void>>();

  const work = async (key: string) => {
    const begun = clock.monotonic();
    const limit = deadline(signal, timeoutMilliseconds, `${name} ${key}`, clock);
    try {
      const outcome = await options.reconcile(key, limit.signal);
      queue.done(key, 'succeeded', clock.monotonic());
      const after = outcome?.requeueAfterMilliseconds;
      if (after !== undefined) queue.addAt(key, clock.monotonic() + after);
      metrics?.reconciled(name, 'succeeded', (clock.monotonic() - begun) / 1000);
    } catch (error) {
      const least = error instanceof KubeError ? error.retryAfterMilliseconds : undefined;
      queue.done(key, 'failed', clock.monotonic(), least);
      metrics?.reconciled(name, 'failed', (clock.monotonic() - begun) / 1000);
      if (isAborted(error, signal)) return;
      // A conflict is the ordinary sign that another writer came first.
      const level = isConflict(error) && queue.failures(key) < 5 ? 'debug' : 'warn';
      log?.[level]('reconcile failed; retrying', {
        key,
        failures: queue.failures(key),
        error: messageOf(error),
      });
    } finally {
      limit.release();
    }
  };

  /** What waits for a time of day (an expiry) may be due when the clock was moved, or the machine has slept: all is looked at. */
  const followClock = () => {
    const present = clock.now() - clock.monotonic();
    if (Math.abs(present - offset) < movedBy) return;
    offset = present;
    queue.hurry(clock.monotonic());
  };

  const pump = () => {
    if (!started || signal.aborted) return;
    followClock();
    while (working.size < concurrency) {
      const key = queue.take(clock.monotonic());
      if (key === undefined) break;
      const promise = work(key).finally(() => {
        working.delete(promise);
        pump();
      });
      working.add(promise);
    }
    metrics?.queued(name, queue.waiting);
    if (working.size >= concurrency) return;
    const due = queue.nextDue();
    if (due === undefined) return;
    const now = clock.monotonic();
    const next = Math.min(due, now + longestNap);
    if (next >= timerAt && timerAt > now) return;
    cancelTimer();
    timerAt = next;
    cancelTimer = clock.after(next - now, () => {
      timerAt = Infinity;
      pump();
    });
  };

  let scheduled = false;
  const enqueue = (key: string) => {
    queue.add(key, clock.monotonic());
    // Not now: an informer may be in the middle of telling others.
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(() => {
      scheduled = false;
      pump();
    });
  };
  const unsubscribe = sources.map((source) => source.subscribe(enqueue));
  try {
    await Promise.all(sources.map((source) => source.synced(signal)));
    started = true;
    pump();
    if (!signal.aborted) {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    cancelTimer();
    for (const stop of unsubscribe) stop();
    await Promise.allSettled(working);
  }
}
