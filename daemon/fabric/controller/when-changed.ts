import type { AnyObject, Informer, Source } from '../../kube/index.ts';

/** A source of keys from changes of what matters of an object: others write status often, and that is no work. */
export function whenChanged<T extends AnyObject>(
  informer: Informer<T>,
  matters: (object: T) => string,
  keys: (object: T) => string | readonly string[],
): Source {
  return {
    subscribe: (enqueue) =>
      informer.onChange((_key, object, previous) => {
        if (object !== undefined && previous !== undefined && matters(object) === matters(previous)) return;
        const changed = object ?? previous;
        if (changed === undefined) return;
        for (const key of [keys(changed)].flat()) enqueue(key);
      }),
    synced: (signal) => informer.synced(signal),
  };
}
