/** Finalizers: an object with one of Hawser's stays until Hawser has cleaned up after it. */
import type { KubeClient } from '../../shared/kube/client.ts';
import { isConflict } from '../../shared/kube/errors.ts';
import { refOf, type AnyObject } from '../../shared/kube/refs.ts';

type Access = Pick<KubeClient, 'get' | 'patch'>;
const attempts = 8;

/** Whether the object has the finalizer. */
export const hasFinalizer = (object: AnyObject, finalizer: string): boolean =>
  object.metadata.finalizers?.includes(finalizer) ?? false;

/**
 * Adds the finalizer unless it is present, and returns the resulting object. Undefined if the object is deleted, or being
 * deleted without this finalizer, so that nothing would clean up what is created for it from now on.
 */
export async function ensureFinalizer<T extends AnyObject>(
  kube: Access,
  object: T,
  finalizer: string,
  signal: AbortSignal,
): Promise<T | undefined> {
  const kept = await change(kube, object, signal, (present, deleting) =>
    deleting || present.includes(finalizer) ? present : [...present, finalizer],
  );
  return kept !== undefined && hasFinalizer(kept, finalizer) ? kept : undefined;
}

/** Removes the finalizer. Succeeds if the object does not exist. */
export async function removeFinalizer(
  kube: Access,
  object: AnyObject,
  finalizer: string,
  signal: AbortSignal,
): Promise<void> {
  await change(kube, object, signal, (present) => present.filter((each) => each !== finalizer));
}

async function change<T extends AnyObject>(
  kube: Access,
  object: T,
  signal: AbortSignal,
  next: (present: string[], deleting: boolean) => string[],
): Promise<T | undefined> {
  let now: T | undefined = object;
  for (let attempt = 1; ; attempt++) {
    if (now === undefined || now.metadata.uid !== object.metadata.uid) return undefined;
    const present = now.metadata.finalizers ?? [];
    const finalizers = next(present, now.metadata.deletionTimestamp !== undefined);
    if (finalizers.length === present.length) return now;
    try {
      // The patch replaces the whole list, so it must require the version that was read.
      const patch = { metadata: { resourceVersion: now.metadata.resourceVersion, finalizers } };
      return await kube.patch(refOf(now), patch, { type: 'merge' }, signal);
    } catch (error) {
      const status = (error as { status?: number }).status;
      if (status === 404) return undefined;
      if (!isConflict(error) || attempt >= attempts) throw error;
      now = await kube.get(refOf(object), signal);
    }
  }
}
