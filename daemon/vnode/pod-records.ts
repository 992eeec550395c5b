/** Creates, ends and deletes the records of offloaded pods at a provider. */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { annotations, labels } from '../../shared/names.ts';
import {
  isAlreadyExists,
  isInvalid,
  isNotFound,
  isQuotaExceeded,
  kind,
  messageOf,
  refOf,
} from '../kube/index.ts';
import type { Remote } from '../peers/remote.ts';
import { boundNamespace, twinOf, twinsOf } from '../peers/twin-namespaces.ts';
import type { Pod } from '../../shared/kube/types.ts';
import { offloadedReasons } from './pod-conditions.ts';
import { type Blocker } from './pod-status.ts';
import { deletionGraceAnnotation } from './shadow-pod.ts';
import { fieldManager, ownClusterID, type Caches } from './caches.ts';

/**
 * Creates the record. An existing one is handled by its watch event.
 *
 * @returns the reason if the provider's quota is exhausted
 */
export async function createShadow(
  caches: Caches,
  remote: Remote,
  pod: Pod,
  wanted: ShadowPod,
  signal: AbortSignal,
): Promise<Blocker | undefined> {
  try {
    await remote.client.create(wanted, signal, { fieldManager });
    return undefined;
  } catch (error) {
    // The cache is stale by one event, which triggers another reconcile.
    if (isAlreadyExists(error)) return undefined;
    if (isQuotaExceeded(error)) {
      const why = messageOf(error).slice(0, 900);
      return {
        reason: offloadedReasons.refused,
        message: `The provider stores no further pods of this cluster in ${wanted.metadata.namespace}; delete pods that have ended there, or request a larger grant: ${why}`,
      };
    }
    if (!isInvalid(error)) throw error;
    const message = `The provider's API server refuses this pod: ${messageOf(error).slice(0, 900)}`;
    caches.context.events.emit(pod, 'Warning', offloadedReasons.refused, message);
    throw error;
  }
}

/** Grace period for a real pod whose pod here was deleted by force. With 0 its object would be deleted while it runs. */
const forcedGrace = 1;

/** Deletes the record, which ends the real pod. */
export async function deleteShadow(
  remote: Remote,
  shadow: ShadowPod,
  grace: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const ref = refOf(shadow);
  if (grace !== undefined) await noteGrace(remote, shadow, grace, signal);
  const { uid } = shadow.metadata;
  await remote.client.delete(ref, uid === undefined ? {} : { uid }, signal);
}

/** Custom resources have no deletion grace period, so the provider's controller reads it from an annotation. */
export async function noteGrace(
  remote: Remote,
  shadow: ShadowPod,
  grace: number,
  signal: AbortSignal,
): Promise<void> {
  const ref = refOf(shadow);
  if (shadow.metadata.annotations?.[deletionGraceAnnotation] !== String(grace)) {
    await remote.client
      .patch(
        ref,
        { metadata: { uid: shadow.metadata.uid, annotations: { [deletionGraceAnnotation]: String(grace) } } },
        { type: 'merge', fieldManager },
        signal,
      )
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  }
}

/** Confirms that a pod that the provider stopped while this cluster was disconnected still exists and must run again. */
export async function resumeShadow(remote: Remote, shadow: ShadowPod, signal: AbortSignal): Promise<void> {
  const { uid } = shadow.metadata;
  const patch = { metadata: { uid, annotations: { [annotations.resume]: shadow.status?.stoppedAt } } };
  await remote.client.patch(refOf(shadow), patch, { type: 'merge', fieldManager }, signal);
}

/** Nothing is left at the provider: confirms that by a read without cache, then removes the pod. */
export async function finishDeletion(
  caches: Caches,
  pod: Pod,
  remote: Remote | undefined,
  twin: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  if (remote !== undefined && twin !== undefined) {
    const live = await remote.client.get<ShadowPod>({ kind: kind.shadowPod, name, namespace: twin }, signal);
    if (live !== undefined && live.spec.podUID === uid) return;
  }
  if (namespace === undefined || uid === undefined) return;
  await caches.context.kube.delete(
    { kind: kind.pod, name, namespace },
    { uid, gracePeriodSeconds: 0 },
    signal,
  );
}

/** Deletes a record whose pod is gone, after the own API server has confirmed that. */
export async function removeOrphan(
  caches: Caches,
  remote: Remote,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  if (!twinsOf(remote).hasSynced) return;
  const twin = twinOf(remote, namespace);
  const bound = boundNamespace(twin, twin?.spec.sourceUID);
  if (bound === undefined) return;
  const shadow = remote.informer(kind.shadowPod, { namespace: bound }).get(bound, name);
  const consumer = ownClusterID(caches);
  if (shadow === undefined || shadow.metadata.deletionTimestamp !== undefined) return;
  if (consumer === undefined || shadow.metadata.labels?.[labels.origin] !== consumer) return;
  const live = await caches.context.kube.get<Pod>({ kind: kind.pod, name, namespace }, signal);
  const nodeName = caches.peerings.byKey(remote.peering)?.spec.nodeName;
  if (live !== undefined && live.metadata.uid === shadow.spec.podUID && live.spec?.nodeName === nodeName)
    return;
  // Its pod was deleted without grace period, or another pod has the name: two of one name must not run for long.
  await deleteShadow(remote, shadow, forcedGrace, signal);
}
