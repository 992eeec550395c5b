/**
 * A cache of the objects of one kind, by name. Frequent lookups and waits use it, so that any number of callers needs only one
 * watch.
 */
import type { KubeClient } from '../../shared/kube/client.ts';
import { createInformer, type Informer } from '../../shared/kube/informer.ts';
import type { AnyObject, KindRef } from '../../shared/kube/refs.ts';
import type { Log } from '../../shared/log.ts';

/** Called with the object, or undefined once it is deleted. */
export type ObjectHandler<T> = (object: T | undefined) => void;

/** For a cluster-scoped kind. */
export class Collection<T extends AnyObject> {
  readonly #informer: Informer<T>;
  readonly #handlers = new Map<string, Set<ObjectHandler<T>>>();

  constructor(kube: KubeClient, kind: KindRef<T>, log: Log, random: () => number) {
    this.#informer = createInformer(kube, kind, { log, random });
    this.#informer.onChange((name, object) => {
      for (const handler of this.#handlers.get(name) ?? []) handler(object);
    });
  }

  /** Whether the first list was read. */
  get synced(): boolean {
    return this.#informer.hasSynced;
  }

  get(name: string): T | undefined {
    return this.#informer.byKey(name);
  }

  /** Calls `handler` at every change of the object until the returned function is called. */
  subscribe(name: string, handler: ObjectHandler<T>): () => void {
    const handlers = this.#handlers.get(name) ?? new Set();
    handlers.add(handler);
    this.#handlers.set(name, handlers);
    return () => {
      handlers.delete(handler);
      if (handlers.size === 0 && this.#handlers.get(name) === handlers) this.#handlers.delete(name);
    };
  }

  /**
   * Waits until `decide` returns a value for the object (undefined if it does not exist). Rejects with the signal's reason.
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
  run(signal: AbortSignal): Promise<void> {
    return this.#informer.run(signal);
  }
}
