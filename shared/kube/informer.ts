/** A cache of one kind that follows the API server: list, then watch, as long as it runs. */
import type { KubeClient, Selection } from './client.ts';
import { backoff, linked, sleep, systemClock, type Clock, type Linked } from '../time.ts';
import { UnreachableError, isAborted, isForbidden, isGone, isNotFound, messageOf } from './errors.ts';
import type { ByteBudget } from './byte-budget.ts';
import { keyOf, type AnyObject, type KindRef } from './refs.ts';
import { trimObject } from './trim.ts';

/** Receives the new object (undefined if deleted) and the former one (undefined if new). Must neither throw nor change them. */
export type ChangeHandler<T> = (key: string, object: T | undefined, previous: T | undefined) => void;

/** Log for errors that an informer cannot return. */
export interface InformerLog {
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

export interface Informer<T extends AnyObject = AnyObject> {
  readonly kind: KindRef<T>;
  /** The cached object; do not change it. Namespace undefined for cluster-scoped kinds. */
  get(namespace: string | undefined, name: string): T | undefined;
  /** By `namespace/name` or name. */
  byKey(key: string): T | undefined;
  list(): readonly T[];
  /** The objects of one namespace. */
  listIn(namespace: string): readonly T[];
  /** Called at once for existing objects, then for every change. Returns a function that stops it. */
  onChange(handler: ChangeHandler<T>): () => void;
  /** Resolves after the first list. Rejects only when the signal is aborted. */
  synced(signal: AbortSignal): Promise<void>;
  readonly hasSynced: boolean;
  /** Time of the API server's last response for this kind, milliseconds since 1970; 0: never. */
  readonly contactedAt: number;
  /** Why it is not watching at present; undefined while it is. */
  readonly failure: string | undefined;
  /** Reconnects at once, for callers that know that the API server is reachable again. */
  reconnect(): void;
  /** Lists and watches until the signal is aborted. Survives 410, lost connections, and restarts of the API server. */
  run(signal: AbortSignal): Promise<void>;
}

export interface InformerOptions<T extends AnyObject> extends Selection {
  /** Drops unneeded fields, to save memory. Metadata must stay. Fields that `trimObject` drops are always dropped. */
  transform?: (object: T) => T;
  /** Bounds of the duration of one watch, in seconds; a random value between. Default 300 to 600. */
  watchSeconds?: readonly [number, number];
  /** Maximum number of objects; beyond it the informer stops reading and lists again. Default: no limit. */
  maximumObjects?: number;
  /** Maximum size in JSON of the objects of this informer and those that share the budget. Default: no limit. */
  budget?: ByteBudget;
  /** A watch that is silent for longer is restarted. Default 150 s: the server sends a bookmark about once a minute. */
  idleTimeoutMilliseconds?: number;
  log?: InformerLog;
  clock?: Clock;
  random?: () => number;
}

/** Creates an informer, which does nothing until `run`. */
export function createInformer<T extends AnyObject>(
  kube: Pick<KubeClient, 'list' | 'watch'>,
  kind: KindRef<T>,
  options: InformerOptions<T> = {},
): Informer<T> {
  const {
    transform = (object: T) => object,
    watchSeconds = [300, 600],
    idleTimeoutMilliseconds = 150_000,
    maximumObjects = Infinity,
    budget,
    log,
    clock = systemClock,
    random = Math.random,
    ...selectors
  } = options;
  const store = new Map<string, T>();
  /** Size of each object in bytes, if there is a budget. */
  const sizes = new Map<string, number>();
  const handlers = new Set<ChangeHandler<T>>();
  const waiting = new Set<() => void>();
  let hasSynced = false;
  let contactedAt = 0;
  let failure: string | undefined;
  let resourceVersion = '';
  let interrupt: Linked | undefined;

  const trim = (object: T): T => {
    trimObject(object);
    return transform(object);
  };
  const tell = (key: string, object: T | undefined, previous: T | undefined) => {
    for (const handler of handlers) {
      try {
        handler(key, object, previous);
      } catch (error) {
        log?.error('a handler of an informer failed', { kind: kind.kind, key, error });
      }
    }
  };
  const put = (object: T) => {
    const key = keyOf(object);
    const previous = store.get(key);
    if (previous?.metadata.resourceVersion === object.metadata.resourceVersion && previous !== undefined)
      return;
    if (previous === undefined && store.size >= maximumObjects)
      throw new UnreachableError(`WATCH ${kind.plural}`, 'TOO_LARGE', `more than ${maximumObjects} objects`);
    if (budget !== undefined) {
      const size = JSON.stringify(object).length;
      if (!budget.take(size - (sizes.get(key) ?? 0)))
        throw new UnreachableError(
          `WATCH ${kind.plural}`,
          'TOO_LARGE',
          `more than ${budget.limit} bytes of objects`,
        );
      sizes.set(key, size);
    }
    store.set(key, object);
    tell(key, object, previous);
  };
  const remove = (key: string) => {
    const previous = store.get(key);
    if (previous === undefined) return;
    store.delete(key);
    budget?.give(sizes.get(key) ?? 0);
    sizes.delete(key);
    tell(key, undefined, previous);
  };
  const contacted = () => {
    contactedAt = clock.now();
    failure = undefined;
  };

  async function relist(signal: AbortSignal): Promise<void> {
    const { items, resourceVersion: listed } = await kube.list(kind, selectors, signal);
    contacted();
    const keys = new Set(items.map((item) => keyOf(item)));
    // Remove deleted objects first, to make room for new ones.
    for (const key of store.keys()) if (!keys.has(key)) remove(key);
    for (const item of items) put(trim(item));
    resourceVersion = listed;
    if (hasSynced) return;
    hasSynced = true;
    for (const wake of waiting) wake();
    waiting.clear();
  }

  async function follow(signal: AbortSignal): Promise<void> {
    const [shortest, longest] = watchSeconds;
    const timeoutSeconds = shortest + (longest - shortest) * random();
    const events = kube.watch(
      kind,
      { ...selectors, resourceVersion, timeoutSeconds, idleTimeoutMilliseconds },
      signal,
    );
    for await (const event of events) {
      contacted();
      const version = event.object.metadata.resourceVersion;
      if (event.type === 'DELETED') remove(keyOf(event.object));
      else if (event.type !== 'BOOKMARK') put(trim(event.object));
      if (version !== undefined) resourceVersion = version;
    }
  }

  return {
    kind,
    get: (namespace, name) => store.get(namespace === undefined ? name : `${namespace}/${name}`),
    byKey: (key) => store.get(key),
    list: () => [...store.values()],
    listIn: (namespace) => [...store.values()].filter((object) => object.metadata.namespace === namespace),
    onChange(handler) {
      handlers.add(handler);
      for (const [key, object] of store) handler(key, object, undefined);
      return () => handlers.delete(handler);
    },
    async synced(signal) {
      if (hasSynced) return;
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const onAbort = () => {
          waiting.delete(wake);
          reject(signal.reason as Error);
        };
        const wake = () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        };
        signal.addEventListener('abort', onAbort, { once: true });
        waiting.add(wake);
      });
    },
    get hasSynced() {
      return hasSynced;
    },
    get contactedAt() {
      return contactedAt;
    },
    get failure() {
      return failure;
    },
    reconnect: () => interrupt?.abort(new Error('reconnecting')),
    async run(signal) {
      let failures = 0;
      let logged: string | undefined;
      while (!signal.aborted) {
        using attempt = linked(signal);
        interrupt = attempt;
        const startedAt = clock.now();
        try {
          if (resourceVersion === '') await relist(attempt.signal);
          await follow(attempt.signal);
          // Back off from a server that ends every watch at once.
          failures = clock.now() - startedAt < 1000 ? failures + 1 : 0;
        } catch (error) {
          if (signal.aborted) break;
          if (isGone(error)) {
            resourceVersion = '';
            failures = Math.min(failures + 1, 2);
          } else if (!isAborted(error, attempt.signal)) {
            // An interrupted watch continues from its version; only a refusal of the request itself requires another list.
            if (isForbidden(error) || isNotFound(error)) resourceVersion = '';
            failures = contactedAt >= startedAt ? 1 : failures + 1;
            failure = messageOf(error);
            if (failure !== logged)
              log?.warn('watching again after a failure', { kind: kind.kind, error: failure });
            logged = failure;
          }
        }
        if (failures === 0) continue;
        // At most 10 s, so that a recovered server is soon noticed; `reconnect` ends the wait.
        using pause = linked(signal);
        interrupt = pause;
        await sleep(backoff(failures - 1, { base: 100, most: 10_000, random }), pause.signal, clock);
      }
      for (const size of sizes.values()) budget?.give(size);
      sizes.clear();
    },
  };
}
