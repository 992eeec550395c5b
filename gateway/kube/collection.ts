/**
 * The objects of one kind as the API server has them now: a list, then a watch, for ever. What the gateway looks up often
 * or waits for comes from here, so that no number of callers makes a number of watches.
 */
import { isGone, KubeError, type AnyObject, type KubeClient, type ResourcePath } from './client.ts';
import type { Log } from '../../shared/log.ts';
import { sleep } from '../../shared/time.ts';
import { deadline } from '../../shared/time.ts';

const FIRST_BACKOFF_MILLISECONDS = 200;
const LAST_BACKOFF_MILLISECONDS = 10_000;
/** The API server ends a watch by itself after this. */
const WATCH_SECONDS = 290;
/** Until a watch has begun. */
const HEAD_MILLISECONDS = 10_000;
/** A watch that says nothing, not even a bookmark (one a minute), has lost its connection. */
const SILENCE_MILLISECONDS = 150_000;
const PAGE = 500;
/** One event; objects of etcd have at most 1.5 MiB. */
const LINE_LIMIT = 4 * 1024 * 1024;

interface WatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T & { code?: number; message?: string };
}

/** Called with the object, or undefined once it is gone. */
export type ChangeHandler<T> = (object: T | undefined) => void;

export class Collection<T extends AnyObject> {
  readonly #kube: KubeClient;
  readonly #resource: ResourcePath;
  readonly #log: Log;
  readonly #random: () => number;
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Map<string, Set<ChangeHandler<T>>>();
  #synced = false;

  constructor(kube: KubeClient, resource: ResourcePath, log: Log, random: () => number) {
    this.#kube = kube;
    this.#resource = resource;
    this.#log = log;
    this.#random = random;
  }

  /** Whether a list was seen since the start. */
  get synced(): boolean {
    return this.#synced;
  }

  get(name: string): T | undefined {
    return this.#objects.get(name);
  }

  /** Calls `handler` on every change of the object of that name until the result is called. */
  subscribe(name: string, handler: ChangeHandler<T>): () => void {
    const handlers = this.#handlers.get(name) ?? new Set();
    handlers.add(handler);
    this.#handlers.set(name, handlers);
    return () => {
      handlers.delete(handler);
      if (handlers.size === 0 && this.#handlers.get(name) === handlers) this.#handlers.delete(name);
    };
  }

  /**
   * Waits until `decide` gives something for the object of that name (undefined: there is none). Rejects with the
   * signal's reason.
   */
  waitFor<R>(
    name: string,
    decide: (object: T | undefined) => R | undefined,
    signal: AbortSignal,
  ): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const end = () => {
        unsubscribe();
        signal.removeEventListener('abort', aborted);
      };
      const aborted = () => {
        end();
        reject(signal.reason as Error);
      };
      const look = (object: T | undefined) => {
        const result = decide(object);
        if (result === undefined) return;
        end();
        resolve(result);
      };
      const unsubscribe = this.subscribe(name, look);
      signal.addEventListener('abort', aborted);
      if (signal.aborted) aborted();
      else look(this.get(name));
    });
  }

  /** Lists and watches until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    let backoff = FIRST_BACKOFF_MILLISECONDS;
    while (!signal.aborted) {
      try {
        let version = await this.#list(signal);
        backoff = FIRST_BACKOFF_MILLISECONDS;
        while (!signal.aborted) {
          version = await this.#watch(version, signal);
          // A watch ends in peace; one that ends at once again and again shall cost little.
          await sleep(FIRST_BACKOFF_MILLISECONDS, signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        // An old resourceVersion is the way of things; the rest is worth a line.
        if (!isGone(error))
          this.#log.warn('list or watch failed; retrying', {
            resource: this.#resource,
            error,
          });
        await sleep(backoff * (0.5 + this.#random()), signal);
        backoff = Math.min(backoff * 2, LAST_BACKOFF_MILLISECONDS);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const found = new Map<string, T>();
    let version = '';
    let next: string | undefined;
    do {
      const page = await this.#kube.list<T>(this.#resource, signal, {
        limit: String(PAGE),
        ...(next !== undefined && { continue: next }),
      });
      for (const item of page.items) found.set(item.metadata.name, item);
      version = page.metadata.resourceVersion;
      next = page.metadata.continue === '' ? undefined : page.metadata.continue;
    } while (next !== undefined);
    for (const name of this.#objects.keys()) if (!found.has(name)) this.#set(name, undefined);
    for (const [name, object] of found)
      if (this.#objects.get(name)?.metadata.resourceVersion !== object.metadata.resourceVersion)
        this.#set(name, object);
    this.#synced = true;
    return version;
  }

  /** One watch, until it ends; gives the version to go on from. */
  async #watch(from: string, signal: AbortSignal): Promise<string> {
    using limited = deadline(signal, HEAD_MILLISECONDS, 'a watch of the API server');
    let version = from;
    const stream = await this.#kube.watch(
      this.#resource,
      { resourceVersion: from, timeoutSeconds: String(WATCH_SECONDS) },
      limited.signal,
    );
    const onActivity = () => limited.restart(SILENCE_MILLISECONDS);
    for await (const line of lines(stream, limited.signal, onActivity))
      version = this.#take(JSON.parse(line) as WatchEvent<T>) ?? version;
    return version;
  }

  #take({ type, object }: WatchEvent<T>): string | undefined {
    if (type === 'ERROR')
      throw new KubeError(
        object.code ?? 500,
        'WatchEnded',
        object.message ?? 'the watch ended with an error',
      );
    if (type !== 'BOOKMARK') this.#set(object.metadata.name, type === 'DELETED' ? undefined : object);
    return object.metadata.resourceVersion;
  }

  #set(name: string, object: T | undefined): void {
    if (object === undefined) this.#objects.delete(name);
    else this.#objects.set(name, object);
    for (const handler of this.#handlers.get(name) ?? []) handler(object);
  }
}

/** Lines of a stream until it ends or `signal` is aborted; `onActivity` is told of whatever comes. The stream is let go. */
async function* lines(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  onActivity: () => void,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  const cancel = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener('abort', cancel);
  let rest = '';
  try {
    onActivity();
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await reader.read();
      if (done) return;
      onActivity();
      rest += decoder.decode(value, { stream: true });
      if (rest.length > LINE_LIMIT) throw new Error('a watch event of more than 4 MiB');
      const parts = rest.split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) if (part !== '') yield part;
    }
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}
