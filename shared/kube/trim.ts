/** Drops fields that no feature reads, to save memory in caches. */
import type { AnyObject } from './refs.ts';
import type { Node, Secret } from './types.ts';

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** Removes unneeded fields of an object, in place: managed fields, kubectl's copy, nodes' lists of images, Helm's releases. */
export function trimObject(object: AnyObject): void {
  const { metadata } = object;
  delete metadata.managedFields;
  if (metadata.annotations?.[lastApplied] !== undefined) delete metadata.annotations[lastApplied];
  if (object.kind === 'Node') {
    const status = (object as Node).status as Record<string, unknown> | undefined;
    for (const field of ['images', 'volumesInUse', 'volumesAttached']) delete status?.[field];
  } else if (object.kind === 'Secret' && (object as Secret).type === 'helm.sh/release.v1') {
    // A megabyte each, in the namespace whose Secrets are watched.
    delete (object as Secret).data;
  }
}
