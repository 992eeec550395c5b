/** Sources that skip irrelevant changes: counters, heartbeats, conditions of other controllers. */
import type { Source } from './controller.ts';
import type { Informer } from '../../shared/kube/informer.ts';
import type { AnyObject } from '../../shared/kube/refs.ts';

/**
 * Keys of objects that are added, deleted, or changed in what `aspect` returns for them. Aspects are compared as JSON text.
 */
export function fromAspect<T extends AnyObject>(
  informer: Informer<T>,
  aspect: (object: T) => unknown,
  keys: (object: T) => readonly string[],
): Source {
  const text = (object: T | undefined) => (object === undefined ? '' : JSON.stringify(aspect(object)));
  return {
    subscribe: (enqueue) =>
      informer.onChange((_key, object, previous) => {
        if (text(object) === text(previous)) return;
        const queued = new Set([object, previous].flatMap((each) => (each === undefined ? [] : keys(each))));
        for (const key of queued) enqueue(key);
      }),
    synced: (signal) => informer.synced(signal),
  };
}
