/** One informer per kind and selection, shared by all features of a process. */
import type { KubeClient } from './client.ts';
import type { Clock } from '../time.ts';
import { createInformer, type Informer, type InformerLog } from './informer.ts';
import type { AnyObject, KindRef } from './refs.ts';

export interface SharedOptions<T extends AnyObject> {
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** Drops unneeded fields. Shared by name: all callers for a kind with the same name get the same informer. */
  transform?: { name: string; apply: (object: T) => T };
}

export interface Informers {
  /** The shared informer; the first call starts it. */
  informer<T extends AnyObject>(kind: KindRef<T>, options?: SharedOptions<T>): Informer<T>;
  /** All informers, for `/readyz` and metrics. */
  all(): readonly Informer[];
  /** Resolves when every informer has ended after the abort of the signal. */
  ended(): Promise<void>;
}

/** A factory whose informers run until the signal is aborted. */
export function createInformers(
  kube: KubeClient,
  { log, clock }: { log?: InformerLog; clock?: Clock },
  signal: AbortSignal,
): Informers {
  const informers = new Map<string, Informer>();
  const running: Promise<void>[] = [];
  return {
    informer<T extends AnyObject>(kind: KindRef<T>, options: SharedOptions<T> = {}): Informer<T> {
      const { transform, ...selectors } = options;
      const key = JSON.stringify([
        kind.apiVersion,
        kind.kind,
        selectors.namespace,
        selectors.labelSelector,
        selectors.fieldSelector,
        transform?.name,
      ]);
      const present = informers.get(key);
      if (present !== undefined) return present as Informer<T>;
      const made = createInformer<T>(kube, kind, {
        ...selectors,
        ...(transform && { transform: transform.apply }),
        ...(log && { log }),
        ...(clock && { clock }),
      });
      informers.set(key, made);
      running.push(made.run(signal));
      return made;
    },
    all: () => [...informers.values()],
    ended: async () => {
      await Promise.allSettled(running);
    },
  };
}
