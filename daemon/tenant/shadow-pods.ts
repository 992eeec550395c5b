/** Reconciles ShadowPods: creates, keeps and ends the real pod, and mirrors its status. */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { findCondition, type Finding } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import {
  isAlreadyExists,
  isForbidden,
  isInvalid,
  isQuotaUnknown,
  messageOf,
} from '../../shared/kube/errors.ts';
import { ensureFinalizer, hasFinalizer, removeFinalizer } from '../kube/finalizers.ts';
import { kind, refOf } from '../../shared/kube/refs.ts';
import { applyStatus } from '../kube/status.ts';
import type { Pod, PodStatus } from '../../shared/kube/types.ts';
import { admit, type Admission } from './admit.ts';
import { planDisconnect, presenceType } from './disconnect.ts';
import { deletionGraceAnnotation, fieldManager, reasons, tenantFinalizer } from './names.ts';
import { asksForChange, newEphemeralContainers, podChanges } from './pod-changes.ts';
import { causes, finalStatus, hasEnded, isKeptAlive, isOver, podFinalizer } from './pod-end.ts';
import { isPodOf, podLabels, realPod, restartsOf, runningFinding, shownStatus } from './real-pod.ts';
import type { Refusals } from './refusals.ts';
import type { UsageTracker, Caches } from './caches.ts';

/** A pod refused by quota or by another admission is retried after this time, even without an event. */
const againMilliseconds = 30_000;

/** The condition Admitted. Pure. */
export function admittedFinding(admission: Admission): Finding {
  return admission.admitted
    ? { type: 'Admitted', status: 'True', reason: reasons.Admitted, message: 'the provider admits the pod' }
    : { type: 'Admitted', status: 'False', reason: admission.reason, message: admission.message };
}

/**
 * Grace period in seconds that the consumer requests; undefined means the pod's own. Never zero: Kubernetes would delete the
 * object at once, and the still running pod's address would belong to no known pod.
 */
export function askedGrace(shadow: ShadowPod): number | undefined {
  const text = shadow.metadata.annotations?.[deletionGraceAnnotation];
  if (text === undefined || !/^\d{1,5}$/.test(text)) return undefined;
  return Math.max(1, Math.min(Number(text), 3600));
}

/** The condition Running of a pod that was stopped because its consumer was disconnected. */
export const stoppedFinding = (stoppedAt: string): Finding => ({
  type: 'Running',
  status: 'False',
  reason: reasons.StoppedOnDisconnect,
  message: `stopped at ${stoppedAt} by the consumer’s onDisconnect policy; it is started again when the consumer reconnects and still has the pod`,
});

/** The record of a pod that runs again. */
const withoutStop = (shadow: ShadowPod): ShadowPod => {
  const { stoppedAt: _stoppedAt, ...status } = shadow.status ?? {};
  return { ...shadow, status };
};

/** The reconciler. Keys are `twin/name`. */
export function reconcileShadowPod(
  context: ControllerContext,
  caches: Caches,
  tracker: UsageTracker,
  refusals: Refusals,
) {
  const { kube, clock, events } = context;

  const report = (
    shadow: ShadowPod,
    admitted: Finding,
    pod: Pod | undefined,
    restarts: number,
    signal: AbortSignal,
    stoppedAt: string | undefined = shadow.status?.stoppedAt,
    status: PodStatus | undefined = pod?.status,
  ) =>
    applyStatus(
      {
        kube,
        fieldManager,
        object: shadow,
        now: clock.now(),
        fields: {
          podName: shadow.metadata.name,
          podUID: pod?.metadata.uid ?? shadow.status?.podUID,
          restarts,
          // The last known status stays, also while a pod is being recreated.
          pod: shownStatus(status) ?? shadow.status?.pod,
          stoppedAt,
        },
        findings: [admitted, stoppedAt === undefined ? runningFinding(pod) : stoppedFinding(stoppedAt)],
      },
      signal,
    );

  /** Removes the finalizer of an ended pod, once its record has the final status or another pod will follow. */
  const release = (pod: Pod, signal: AbortSignal) => removeFinalizer(kube, pod, podFinalizer, signal);

  /** The record's status for a finally ended pod. */
  const finished: Finding = {
    type: 'Admitted',
    status: 'True',
    reason: reasons.PodFinished,
    message: 'the pod has ended and is not recreated',
  };

  /** The pod's grace period: the requested one, or its own. */
  async function end(shadow: ShadowPod, signal: AbortSignal): Promise<Result | void> {
    if (!hasFinalizer(shadow, tenantFinalizer)) return;
    const ref = { kind: kind.pod, namespace: shadow.metadata.namespace ?? '', name: shadow.metadata.name };
    const pod = await kube.get(ref, signal);
    tracker.release(`${ref.namespace}/${ref.name}`);
    if (pod === undefined || !isPodOf(pod, shadow)) {
      if (pod !== undefined && isOver(pod)) await release(pod, signal);
      await removeFinalizer(kube, shadow, tenantFinalizer, signal);
      return;
    }
    const grace = askedGrace(shadow);
    const asked = pod.metadata.deletionGracePeriodSeconds;
    if (
      pod.metadata.deletionTimestamp === undefined ||
      (grace !== undefined && asked !== undefined && grace < asked)
    ) {
      await kube.delete(
        ref,
        { uid: pod.metadata.uid ?? '', ...(grace !== undefined && { gracePeriodSeconds: grace }) },
        signal,
      );
    }
    const admitted: Finding = {
      type: 'Admitted',
      status: 'True',
      reason: reasons.Deleting,
      message: 'the pod is terminating',
    };
    const restarts = shadow.status?.restarts ?? 0;
    if (!isOver(pod)) {
      const seen = caches.pods.byKey(`${ref.namespace}/${ref.name}`) ?? pod;
      return void (await report(shadow, admitted, seen, restarts, signal));
    }
    // The pod stays until its final status is in the record, and the record until then too.
    const status = finalStatus(pod.status, causes.deleted, false, clock.now());
    await report(shadow, admitted, pod, restarts, signal, shadow.status?.stoppedAt, status);
    await release(pod, signal);
  }

  /** Handles the end of a pod that was deleted here, not by its consumer. */
  async function ended(shadow: ShadowPod, pod: Pod, restarts: number, signal: AbortSignal): Promise<void> {
    if (!isKeptAlive(shadow) || hasEnded(shadow)) {
      const status = finalStatus(pod.status, causes.gone, true, clock.now());
      await report(shadow, finished, pod, restarts, signal, shadow.status?.stoppedAt, status);
    }
    await release(pod, signal);
  }

  async function keep(shadow: ShadowPod, key: string, signal: AbortSignal): Promise<Result | void> {
    const twin = caches.namespaces.byKey(shadow.metadata.namespace ?? '');
    const peering = caches.peeringOfTwin(twin);
    let pod = caches.pods.byKey(key);
    let resumed = false;
    // The count comes from the pod itself, since the cached record may be stale.
    const restarts = Math.max(shadow.status?.restarts ?? 0, restartsOf(pod));
    const refuse = async (reason: Finding['reason'], message: string, retry?: Result) => {
      tracker.release(key);
      if (reason !== reasons.Preparing) events.emit(shadow, 'Warning', reason, message);
      await report(shadow, { type: 'Admitted', status: 'False', reason, message }, pod, restarts, signal);
      return retry;
    };
    if (twin === undefined || peering === undefined || peering.metadata.deletionTimestamp !== undefined) {
      if (pod !== undefined && isOver(pod)) await release(pod, signal);
      return refuse(reasons.NoPeering, 'no incoming peering exists for this shadow pod');
    }
    if (pod !== undefined && !isPodOf(pod, shadow)) {
      // A terminating pod of an earlier shadow pod of this name.
      if (pod.metadata.deletionTimestamp === undefined) {
        await kube.delete(refOf(pod), { uid: pod.metadata.uid ?? '' }, signal);
      }
      if (isOver(pod)) await release(pod, signal);
      pod = undefined;
      await refuse(reasons.Preparing, 'an earlier pod of the same name is still terminating');
      return;
    }
    const presence = findCondition(peering.status?.conditions, presenceType);
    const disconnect = planDisconnect(shadow, presence, clock.now());
    if (disconnect.action !== 'Run') {
      tracker.release(key);
      // Recorded before anything is ended, so that a restarted controller knows of the stop.
      const stoppedAt = shadow.status?.stoppedAt ?? new Date(clock.now()).toISOString();
      const admitted: Finding = {
        type: 'Admitted',
        status: 'True',
        reason: reasons.StoppedOnDisconnect,
        message: 'the pod is admitted, and stopped while its consumer is disconnected',
      };
      const over = pod !== undefined && isOver(pod);
      // The status of a stopped pod is not final, since it may run again.
      await report(shadow, admitted, over ? undefined : pod, restarts, signal, stoppedAt);
      if (pod !== undefined && over) await release(pod, signal);
      if (disconnect.action === 'Stop') {
        events.emit(shadow, 'Normal', reasons.StoppedOnDisconnect, stoppedFinding(stoppedAt).message);
      }
      if (pod !== undefined && pod.metadata.deletionTimestamp === undefined) {
        await kube.delete(refOf(pod), { uid: pod.metadata.uid ?? '' }, signal);
      }
      return;
    }
    if (shadow.status?.stoppedAt !== undefined) {
      // The stopped pod may still be terminating; only one runs at a time.
      if (pod !== undefined) return isOver(pod) ? release(pod, signal) : undefined;
      resumed = true;
    }
    if (pod !== undefined && isOver(pod)) return ended(shadow, pod, restarts, signal);
    const stopAfter: Result | void =
      disconnect.againAfterMilliseconds === undefined
        ? undefined
        : { requeueAfterMilliseconds: disconnect.againAfterMilliseconds + 50 };
    const { labels: askedLabels, annotations } = shadow.spec;
    // A refused debug container must not prevent recreating the pod, since it cannot be removed from a spec.
    const { ephemeralContainers: _debug, ...lasting } = shadow.spec.pod;
    const asked = pod === undefined ? lasting : shadow.spec.pod;
    const admission = admit(asked, peering.spec.grant, tracker.used(peering.metadata.name, key), {
      labels: askedLabels,
      annotations,
    });
    const wantedLabels = podLabels(
      shadow,
      peering,
      twin.metadata.labels?.[labels.originNamespace],
      caches.policies.listIn(twin.metadata.name),
    );
    if (pod !== undefined) {
      if (pod.metadata.deletionTimestamp === undefined) {
        const wanted = admission.admitted ? admission.spec : undefined;
        const changes = podChanges(shadow, wanted, wantedLabels, pod);
        if (changes !== undefined)
          await kube.patch(refOf(pod), changes, { type: 'strategic', fieldManager }, signal);
        const ephemeralContainers = wanted === undefined ? [] : newEphemeralContainers(wanted, pod);
        if (ephemeralContainers.length > 0) {
          const how = { type: 'strategic', subresource: 'ephemeralcontainers', fieldManager } as const;
          await kube.patch(refOf(pod), { spec: { ephemeralContainers } }, how, signal);
        }
      }
      // It was admitted when created; a lowered grant does not end running pods.
      const refused =
        !admission.admitted && (admission.reason !== 'QuotaExceeded' || asksForChange(shadow, pod));
      const finding: Finding = {
        type: 'Admitted',
        status: 'True',
        reason: refused ? reasons.ChangeRefused : reasons.Admitted,
        message: refused
          ? `the pod runs as it was admitted; its changes are refused: ${admission.message}`
          : 'the provider admits the pod',
      };
      await report(shadow, finding, pod, restarts, signal);
      return stopAfter;
    }
    if (hasEnded(shadow)) return void (await report(shadow, finished, undefined, restarts, signal));
    if (shadow.status?.podUID !== undefined && !resumed && !isKeptAlive(shadow)) {
      // Reads the API server, since the cache may not show a new pod yet: a pod that may run once must never run twice.
      const live = await kube.get(
        { kind: kind.pod, namespace: twin.metadata.name, name: shadow.metadata.name },
        signal,
      );
      if (live !== undefined && isPodOf(live, shadow)) return { requeueAfterMilliseconds: 500 };
      const last = shadow.status.pod as PodStatus | undefined;
      const status = finalStatus(last, causes.gone, true, clock.now());
      await report(shadow, finished, undefined, restarts, signal, undefined, status);
      return;
    }
    if (peering.spec.desired !== 'Active') {
      const message = `the provider has set the peering to ${peering.spec.desired}: no new pods are admitted`;
      return refuse(reasons.Cordoned, message);
    }
    if (!admission.admitted) {
      const room = admission.reason === 'QuotaExceeded';
      const once = `${shadow.metadata.uid}/${room ? '' : shadow.metadata.generation}`;
      refusals.note(peering, room ? 'Room' : 'Pod', once, `pod ${key}: ${admission.message}`);
      const retry =
        admission.reason === 'QuotaExceeded' ? { requeueAfterMilliseconds: againMilliseconds } : undefined;
      return refuse(admission.reason, admission.message, retry);
    }
    tracker.reserve(peering.metadata.name, key, admission.usage);
    const again = shadow.status?.podUID === undefined ? restarts : restarts + 1;
    const wanted = realPod(shadow, wantedLabels, admission.spec, again);
    try {
      pod = await kube.create(wanted, signal, { fieldManager });
    } catch (error) {
      if (isAlreadyExists(error)) {
        // The cache is stale, or a pod without our labels has the name.
        pod = await kube.get(refOf(wanted), signal);
        if (pod !== undefined && !isPodOf(pod, shadow)) {
          tracker.release(key);
          return refuse(
            reasons.NameConflict,
            `another pod named ${wanted.metadata.name} exists in the twin namespace`,
            {
              requeueAfterMilliseconds: 1000,
            },
          );
        }
      } else if (isQuotaUnknown(error)) {
        tracker.release(key);
        throw error;
      } else if (isForbidden(error) || isInvalid(error)) {
        const room = isForbidden(error) && error.message.includes('exceeded quota');
        const once = `${shadow.metadata.uid}/${room ? '' : shadow.metadata.generation}`;
        refusals.note(peering, room ? 'Room' : 'Pod', once, `pod ${key}: ${messageOf(error)}`);
        return refuse(reasons.NotAdmitted, `the provider’s API server refuses the pod: ${messageOf(error)}`, {
          requeueAfterMilliseconds: againMilliseconds,
        });
      } else {
        tracker.release(key);
        throw error;
      }
    }
    await report(resumed ? withoutStop(shadow) : shadow, admittedFinding(admission), pod, again, signal);
    return stopAfter;
  }

  return async (key: string, signal: AbortSignal): Promise<Result | void> => {
    const shadow = caches.shadows.byKey(key);
    if (shadow === undefined) {
      tracker.release(key);
      // Its record was deleted by force, so there is no status to write.
      const orphan = caches.pods.byKey(key);
      if (orphan !== undefined && isOver(orphan)) await release(orphan, signal);
      return;
    }
    if (shadow.metadata.deletionTimestamp !== undefined) return end(shadow, signal);
    const kept = await ensureFinalizer(kube, shadow, tenantFinalizer, signal);
    return kept && keep(kept, key, signal);
  };
}
