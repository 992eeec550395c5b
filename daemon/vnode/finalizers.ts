/** Finalizers: set before anything is made, removed after everything is gone. Under the resource version that was read. */
import { refOf, type AnyObject, type KubeClient } from '../kube/index.ts';

/** Adds it; false when it was there. Fails with Conflict when somebody else wrote meanwhile. */
export async function addFinalizer(
  kube: KubeClient,
  object: AnyObject,
  finalizer: string,
  signal: AbortSignal,
): Promise<boolean> {
  const present = object.metadata.finalizers ?? [];
  if (present.includes(finalizer)) return false;
  await write(kube, object, [...present, finalizer], signal);
  return true;
}

/** Removes it; nothing happens when it isn't there. */
export async function removeFinalizer(
  kube: KubeClient,
  object: AnyObject,
  finalizer: string,
  signal: AbortSignal,
): Promise<void> {
  const present = object.metadata.finalizers ?? [];
  if (!present.includes(finalizer)) return;
  await write(
    kube,
    object,
    present.filter((each) => each !== finalizer),
    signal,
  );
}

async function write(
  kube: KubeClient,
  object: AnyObject,
  finalizers: string[],
  signal: AbortSignal,
): Promise<void> {
  const { uid, resourceVersion } = object.metadata;
  await kube.patch(
    refOf(object),
    {
      metadata: {
        finalizers,
        ...(uid !== undefined && { uid }),
        ...(resourceVersion !== undefined && { resourceVersion }),
      },
    },
    { type: 'merge' },
    signal,
  );
}
