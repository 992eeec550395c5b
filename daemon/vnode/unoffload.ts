/** Moves a namespace's pods home and removes its twin namespaces. */
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import { applyStatus, keyOf, kind, messageOf, type Result } from '../kube/index.ts';
import type { Remote } from '../peers/remote.ts';
import { twinOf, twinsOf } from '../peers/twin-namespaces.ts';
import type { Pod } from '../../shared/kube/types.ts';
import { evictPods } from './eviction.ts';
import { removeFinalizer } from '../kube/finalizers.ts';
import { reachableDeadlineMilliseconds, unreachableDeadlineMilliseconds } from './removal-plan.ts';
import { isOffloadable } from '../peers/offloaded.ts';
import { fieldManager, vnodeFinalizer, waitingSince, type Caches } from './caches.ts';

const lookAgainMilliseconds = 2_000;

/** Performs one step; called again until the finalizer is removed. */
export async function unoffload(
  caches: Caches,
  offloading: NamespaceOffloading,
  signal: AbortSignal,
): Promise<Result | void> {
  if (!(offloading.metadata.finalizers ?? []).includes(vnodeFinalizer)) return;
  const { kube, clock, events } = caches.context;
  const namespace = offloading.metadata.namespace ?? '';
  const waited = clock.now() - waitingSince(caches, offloading);
  const waiting: string[] = [];
  const residue: string[] = [];
  if (isOffloadable(namespace, caches.context.namespace)) {
    for (const peering of caches.peerings.list()) {
      const name = peering.metadata.name;
      const remote = caches.remotes.get(name);
      const pods = caches.pods
        .listOn(peering.spec.nodeName)
        .filter((pod) => pod.metadata.namespace === namespace);
      const state = remote?.reachability.state ?? 'Unreachable';
      const lost = state === 'Unreachable';
      const read = remote !== undefined && twinsOf(remote).hasSynced;
      const known = read ? twinOf(remote, namespace) : undefined;
      const had = offloading.status?.remotes?.some((each) => each.peering === name) ?? false;
      if (known === undefined && pods.length === 0 && ((read && !lost) || !had)) continue;
      const givenUp =
        state !== 'Unknown' &&
        waited > (lost ? unreachableDeadlineMilliseconds : reachableDeadlineMilliseconds);
      if (givenUp && pods.length === 0) {
        residue.push(`The twin namespace of ${namespace} at ${name} could not be removed.`);
        continue;
      }
      if (remote === undefined) {
        await evictPods(kube, pods, signal);
      } else {
        await removeTwin(caches, remote, namespace, pods, signal);
      }
      waiting.push(
        pods.length > 0
          ? `${pods.length} pods leave ${name} (${pods
              .slice(0, 3)
              .map((pod) => keyOf(pod))
              .join(', ')}${pods.length > 3 ? ', …' : ''}); disruption budgets are kept.`
          : `${name} is removing the twin namespace.`,
      );
    }
  }
  if (waiting.length > 0) {
    await applyStatus(
      {
        kube,
        fieldManager,
        object: offloading,
        findings: [{ type: 'Ready', status: 'False', reason: 'Removing', message: waiting.join(' ') }],
        fields: {
          observedGeneration: offloading.metadata.generation,
          remotes: offloading.status?.remotes ?? [],
        },
        now: clock.now(),
      },
      signal,
    );
    return { requeueAfterMilliseconds: lookAgainMilliseconds };
  }
  if (residue.length > 0) events.emit(offloading, 'Warning', 'ResidueLeft', residue.join(' '));
  await removeFinalizer(kube, offloading, vnodeFinalizer, signal);
}

/** Evicts the pods; when they are gone, deletes the TwinNamespace and stops its informers. */
export async function removeTwin(
  caches: Caches,
  remote: Remote,
  namespace: string,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<Result | undefined> {
  const { kube, events, log } = caches.context;
  if (pods.length > 0) {
    for (const eviction of await evictPods(kube, pods, signal)) {
      if (eviction.outcome === 'Blocked')
        events.emit(eviction.pod, 'Warning', 'EvictionBlocked', eviction.message);
    }
    return { requeueAfterMilliseconds: lookAgainMilliseconds };
  }
  const twin = twinOf(remote, namespace);
  if (twin?.metadata.uid === undefined) return undefined;
  if (twin.metadata.deletionTimestamp === undefined) {
    try {
      await remote.client.delete(
        { kind: kind.twinNamespace, name: twin.metadata.name, namespace: remote.tenantNamespace },
        { uid: twin.metadata.uid },
        signal,
      );
      if (twin.status?.namespace !== undefined) remote.forget(twin.status.namespace);
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn('failed to remove a twin namespace; retrying', {
        peering: remote.peering,
        namespace,
        error: messageOf(error),
      });
    }
  }
  return { requeueAfterMilliseconds: lookAgainMilliseconds };
}
