/** Applies sets of objects, but not again what was applied a moment ago: events come much more often than changes. */
import type { KubeClient } from '../../shared/kube/client.ts';
import { systemClock, type Clock } from '../../shared/time.ts';
import { keyOf, type AnyObject } from '../../shared/kube/refs.ts';
import { stableText } from './status.ts';

export interface Applied {
  /**
   * Applies those that differ from what was last applied under the same scope, and all of them when that was long ago:
   * so what somebody removed comes back.
   */
  apply(scope: string, objects: readonly AnyObject[], signal: AbortSignal): Promise<void>;
  /** Forgets a scope that is gone. */
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
      // An API server takes a binding only after the role that it names: it checks for privilege escalation.
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
