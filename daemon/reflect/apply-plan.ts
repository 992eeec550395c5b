/** Applies a plan to a twin namespace. */
import { labels } from '../../shared/names.ts';
import {
  isAlreadyExists,
  isConflict,
  isInvalid,
  isNotFound,
  messageOf,
  refOf,
  type AnyObject,
  type Log,
} from '../kube/index.ts';
import type { Remote } from '../peers/remote.ts';
import type { Reflected, ReflectionPlan } from './plan.ts';

export const fieldManager = 'hawser-reflect';

/** Applies all parts of a plan concurrently, then throws the first failure. */
export async function applyReflectionPlan(
  remote: Remote,
  plan: ReflectionPlan,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const steps: [string, Reflected, () => Promise<unknown>][] = [
    ...plan.create.map((object): [string, Reflected, () => Promise<unknown>] => [
      'create',
      object,
      () => remote.client.create<AnyObject>(object, signal, { fieldManager }),
    ]),
    ...plan.replace.map((object): [string, Reflected, () => Promise<unknown>] => [
      'replace',
      object,
      () => remote.client.replace<AnyObject>(object, { fieldManager }, signal),
    ]),
    ...plan.remove.map((object): [string, Reflected, () => Promise<unknown>] => [
      'remove',
      object,
      () => remove(remote, object, signal),
    ]),
  ];
  let failure: unknown;
  await Promise.all(
    steps.map(async ([verb, object, step]) => {
      try {
        await step();
      } catch (error) {
        if (signal.aborted) throw error;
        // The object changed in the meantime, and its event will trigger a reconcile. A create conflicts only over quota counts.
        if (isNotFound(error) || (isConflict(error) && verb !== 'create')) return;
        const named = {
          verb,
          kind: object.kind,
          namespace: object.metadata.namespace,
          name: object.metadata.name,
        };
        if (isAlreadyExists(error)) {
          // Usually the cache is stale by one event, and the object is the one just created.
          const live = await remote.client.get(refOf(object as AnyObject), signal);
          if (live !== undefined && live.metadata.labels?.[labels.reflected] !== 'true') {
            log.warn(
              'an object in the twin namespace has this name but another owner; leaving it unchanged',
              named,
            );
          }
          return;
        }
        log.warn('failed to reflect an object', { ...named, error: messageOf(error) });
        if (isInvalid(error) && verb === 'replace') await remove(remote, object, signal);
        failure ??= error;
      }
    }),
  );
  if (failure !== undefined) throw failure;
}

async function remove(remote: Remote, object: Reflected, signal: AbortSignal): Promise<void> {
  const { uid } = object.metadata;
  await remote.client.delete(refOf(object as AnyObject), uid === undefined ? {} : { uid }, signal);
}
