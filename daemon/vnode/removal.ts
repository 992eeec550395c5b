/**
 * Removes a virtual node: its pods, its twin namespaces at the provider, the Node, the Lease. An unreachable provider does not
 * block it: after a deadline the residue is reported. peering/ reports the final residue, after it has notified the provider.
 */
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { applyStatus, kind, keyOf, messageOf, refOf, type Result } from '../kube/index.ts';
import { deadline } from '../../shared/time.ts';
import { twinsOf } from '../peers/twin-namespaces.ts';
import { labels } from '../../shared/names.ts';
import { fieldManager, ownClusterID, vnodeFinalizer, waitingSince, type Caches } from './caches.ts';
import { removeFinalizer } from '../kube/finalizers.ts';
import { deleteLease } from './lease.ts';
import { planRemoval } from './removal-plan.ts';

const lookAgainMilliseconds = 1_000;
/** A provider that never answers a request delays the removal of pods and node here at most this long. */
const askMilliseconds = 2_000;

/** Performs one step of the removal; called again until the finalizer is removed. */
export async function removeNode(
  caches: Caches,
  peering: OutgoingPeering,
  signal: AbortSignal,
): Promise<Result | void> {
  const { kube, clock, events, log } = caches.context;
  const name = peering.metadata.name;
  const remote = caches.remotes.get(name);
  const pods = caches.pods.listOn(peering.spec.nodeName);
  const consumer = ownClusterID(caches);
  const twins =
    remote === undefined || !twinsOf(remote).hasSynced
      ? undefined
      : twinsOf(remote)
          .list()
          .filter(
            (twin) =>
              consumer === undefined || (twin.metadata.labels?.[labels.origin] ?? consumer) === consumer,
          );
  const plan = planRemoval({
    waitingSince: waitingSince(caches, peering),
    now: clock.now(),
    provider: remote === undefined ? 'NoIdentity' : remote.reachability.state,
    providerSince: remote?.reachability.since ?? clock.now(),
    pods: pods.map((pod) => ({ key: keyOf(pod), deleting: pod.metadata.deletionTimestamp !== undefined })),
    twins: twins?.map((twin) => ({
      name: twin.metadata.name,
      deleting: twin.metadata.deletionTimestamp !== undefined,
    })),
  });
  const node = caches.nodes.get(undefined, peering.spec.nodeName);
  if (node !== undefined && node.spec?.unschedulable !== true) {
    // Otherwise the scheduler sends new pods here as fast as the old ones are deleted.
    await kube.patch(refOf(node), { spec: { unschedulable: true } }, { type: 'merge', fieldManager }, signal);
  }
  const byKey = new Map(pods.map((pod) => [keyOf(pod), pod]));
  for (const key of [...plan.deletePods, ...plan.forcePods]) {
    const pod = byKey.get(key);
    if (pod?.metadata.namespace === undefined || pod.metadata.uid === undefined) continue;
    const { name: podName, namespace, uid } = pod.metadata;
    const grace = plan.forcePods.includes(key) ? { gracePeriodSeconds: 0 } : {};
    await kube.delete({ kind: kind.pod, name: podName, namespace }, { uid, ...grace }, signal);
  }
  const limit = deadline(signal, askMilliseconds, 'removing the twin namespaces', clock);
  try {
    await Promise.all(
      plan.deleteTwins.map(async (twinName) => {
        const twin = twins?.find((each) => each.metadata.name === twinName);
        if (remote === undefined || twin?.metadata.uid === undefined) return;
        await remote.client.delete(
          { kind: kind.twinNamespace, name: twinName, namespace: remote.tenantNamespace },
          { uid: twin.metadata.uid },
          limit.signal,
        );
      }),
    );
  } catch (error) {
    if (signal.aborted) throw error;
    log.warn('failed to remove twin namespaces; retrying', { peering: name, error: messageOf(error) });
  } finally {
    limit.release();
  }
  await applyStatus(
    {
      kube,
      fieldManager,
      object: peering,
      findings: [{ type: 'NodeReady', status: 'False', reason: 'Removing', message: plan.message }],
      now: clock.now(),
    },
    signal,
  );
  if (!plan.done) return { requeueAfterMilliseconds: lookAgainMilliseconds };
  await kube.delete({ kind: kind.node, name: peering.spec.nodeName }, {}, signal);
  await deleteLease(kube, peering.spec.nodeName, signal);
  if (plan.residue.length > 0) events.emit(peering, 'Warning', 'ResidueLeft', plan.residue.join(' '));
  await removeFinalizer(kube, peering, vnodeFinalizer, signal);
}
