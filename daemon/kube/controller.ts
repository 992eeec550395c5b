/** Level-triggered controllers: an event only queues a key, and `reconcile` reads the current state. */
import { deadline, systemClock, type Clock } from '../../shared/time.ts';
import { KubeError, isAborted, isConflict, messageOf } from '../../shared/kube/errors.ts';
import type { Informer } from '../../shared/kube/informer.ts';
import type { Log } from './log.ts';
import { createQueue, type Queue } from './queue.ts';
import { keyOf, type AnyObject } from '../../shared/kube/refs.ts';

/** A source of keys. */
export interface Source {
  /** Starts calling `enqueue` for every key that may need work. Returns a function that stops it. */
  subscribe(enqueue: (key: string) => void): () => void;
  /** Resolves when the source has synced. */
  synced(signal: AbortSignal): Promise<void>;
}

export interface Result {
  /** Reconcile again after this time, even without an event. */
  requeueAfterMilliseconds?: number;
}

export interface ControllerOptions {
  /** For logs and metrics. */
  name: string;
  sources: readonly Source[];
  /**
   * Reconciles one key from the current content of the caches. When it throws, it is called again with backoff. It is never
   * called concurrently for the same key.
   */
  reconcile(key: string, signal: AbortSignal): Promise<Result | void>;
  /** Maximum number of concurrent reconciles. Default 4. */
  concurrency?: number;
  /** Deadline of one reconcile, after which its signal is aborted. Default 60 s. */
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
  /** Counts a refused request or statement of a remote cluster; `what` is one of a few fixed words. */
  refused(remoteCluster: string, what: string): void;
}

/**
 * Keys from an informer: by default the key of the changed object, otherwise the keys that `keys` returns for its new and its
 * former state.
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
        // The object that the former state referred to may need work too.
        if (previous !== undefined) for (const key of keys(previous, undefined)) queued.add(key);
        for (const key of queued) enqueue(key);
      }),
    synced: (signal) => informer.synced(signal),
  };
}

/** A source that is driven by calls of `trigger(key)`. */
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

/** Interval of checks for changes of the wall clock. */
const longestNap = 60_000;
/** A difference of this size between wall clock and monotonic clock counts as a jump; small corrections add up. Milliseconds. */
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
      // A conflict normally just means that another writer came first.
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

  /** After a clock jump or a suspend, keys that wait for a wall-clock time (an expiry) may be due: all waiting keys are reconciled. */
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
    // Deferred, since an informer may still be notifying its other listeners.
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
