/** The last state of deleted records of offloaded pods, which contains the final status. */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { kind } from '../kube/index.ts';
import type { RemoteClients } from '../peers/remote.ts';

/** Records whose pod here is still to be deleted, which takes a reconcile. */
const limit = 4_096;

export interface LastRecords {
  /** By the UID of the pod here. */
  of(podUID: string | undefined): ShadowPod | undefined;
}

export function createLastRecords(remotes: Pick<RemoteClients, 'onObject'>): LastRecords {
  const records = new Map<string, ShadowPod>();
  remotes.onObject((_remote, object, previous) => {
    if (object !== undefined || previous?.kind !== kind.shadowPod.kind) return;
    const record = previous as ShadowPod;
    if (typeof record.spec.podUID !== 'string') return;
    records.delete(record.spec.podUID);
    records.set(record.spec.podUID, record);
    const oldest = records.keys().next().value;
    if (records.size > limit && oldest !== undefined) records.delete(oldest);
  });
  return { of: (podUID) => (podUID === undefined ? undefined : records.get(podUID)) };
}
