/** Applies sets of objects, skipping recently applied ones: events are much more frequent than changes. */
import type { KubeClient } from '../../shared/kube/client.ts';
import { systemClock, type Clock } from '../../shared/time.ts';
import { keyOf, type AnyObject } from '../../shared/kube/refs.ts';
import { stableText } from './status.ts';

export interface Applied {
  /**
   * Applies the objects that differ from those last applied under the same scope, and after some time all of them, so that
   * removed objects come back.
   */
  apply(scope: string, objects: readonly AnyObject[], signal: AbortSignal): Promise<void>;
  /** Drops the state of a scope. */
  forget(scope: string): void;
}

const resyncMilliseconds = 600_000;

/** Nothing applied yet. */
export function createApplied(
  kube: Pick<KubeClient, 'apply'>,
  fieldManager: string,
  clock: Clock = systemClock,
): Applied {
  const scopes = new Map<string, Map<string, { text: string; at: number }>>();
  return {
    async apply(scope, objects, signal) {
      const known = scopes.get(scope) ?? new Map<string, { text: string; at: number }>();
      scopes.set(scope, known);
      const applyOne = async (object: AnyObject): Promise<void> => {
        const key = `${object.kind}/${keyOf(object)}`;
        const text = stableText(object);
        const last = known.get(key);
        if (last !== undefined && last.text === text && clock.monotonic() - last.at < resyncMilliseconds)
          return;
        await kube.apply(object, { fieldManager }, signal);
        known.set(key, { text, at: clock.monotonic() });
      };
      // The API server accepts a binding only after its role exists, since it checks for privilege escalation.
      const [bindings, others] = partition(objects, ({ kind }) => kind.endsWith('RoleBinding'));
      await Promise.all(others.map(applyOne));
      await Promise.all(bindings.map(applyOne));
    },
    forget: (scope) => void scopes.delete(scope),
  };
}

function partition<T>(items: readonly T[], holds: (item: T) => boolean): [T[], T[]] {
  return [items.filter(holds), items.filter((item) => !holds(item))];
}
