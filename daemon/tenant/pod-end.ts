/** The end of a real pod, and the final status in its record. Pure. */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { isFinalPhase, isFinished } from '../../shared/kube/pod-phase.ts';
import type { ContainerStatus, Pod, PodStatus } from '../../shared/kube/types.ts';
import { toSeconds } from '../../shared/conditions.ts';

/**
 * Finalizer on real pods: their final status is written to the record before they are deleted. The kubelet writes the final
 * phase and deletes the pod within milliseconds; without this the record would keep whatever state the watch last saw.
 */
export const podFinalizer = 'hawser.dev/final-status';

/**
 * Whether a pod that is being deleted has ended: its phase is final, or the kubelet (or a person, by force) has deleted it
 * without grace period, so that only finalizers hold it.
 */
export const isOver = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp !== undefined &&
  (isFinished(pod) || pod.metadata.deletionGracePeriodSeconds === 0);

/** Whether the record's pod is recreated when it is deleted here. */
export const isKeptAlive = (shadow: ShadowPod): boolean =>
  (shadow.spec.pod['restartPolicy'] ?? 'Always') === 'Always';

/** Whether the record's pod has ended finally, so that it is not recreated: its controller at home creates another pod. */
export function hasEnded(shadow: ShadowPod): boolean {
  return isFinalPhase((shadow.status?.pod as { phase?: string } | undefined)?.phase);
}

/** Why a pod ended that no kubelet reported the end of. */
export interface Cause {
  reason: string;
  message: string;
}

export const causes = {
  /** The consumer deleted it without grace period, or its node never reported the end. */
  deleted: {
    reason: 'PodDeleted',
    message: 'The pod was deleted at the provider before its kubelet reported how it ended.',
  },
  gone: {
    reason: 'PodGone',
    message: 'The pod is no longer at the provider, and its kubelet did not report how it ended.',
  },
} satisfies Record<string, Cause>;

/** The state that the kubelet reports for a container whose end it did not see. */
function endedContainer(status: ContainerStatus, now: number): ContainerStatus {
  if (status.state?.['terminated'] !== undefined) return status;
  return {
    ...status,
    ready: false,
    started: false,
    state: {
      terminated: {
        exitCode: 137,
        reason: 'ContainerStatusUnknown',
        message: 'The container could not be located when the pod was terminated',
        finishedAt: toSeconds(now),
      },
    },
  };
}

/**
 * The status of an ended pod. A final phase stays as reported by the kubelet; an interrupted pod is Failed, with the condition
 * DisruptionTarget unless its consumer ended it (Kubernetes, "Pod disruption conditions"), so that a Job's podFailurePolicy
 * can distinguish a disruption from a failure.
 *
 * @param status as last seen
 * @param disrupted whether someone other than the consumer ended it
 */
export function finalStatus(
  status: PodStatus | undefined,
  cause: Cause,
  disrupted: boolean,
  now: number,
): PodStatus {
  if (status !== undefined && isFinalPhase(status.phase)) return status;
  const conditions = (status?.conditions ?? []).map((condition) =>
    condition.type === 'Ready' || condition.type === 'ContainersReady'
      ? { ...condition, status: 'False', reason: 'PodFailed', lastTransitionTime: toSeconds(now) }
      : condition,
  );
  const target = { type: 'DisruptionTarget', status: 'True', ...cause, lastTransitionTime: toSeconds(now) };
  const known = conditions.some(({ type }) => type === 'DisruptionTarget');
  return {
    ...status,
    phase: 'Failed',
    ...cause,
    conditions: disrupted && !known ? [...conditions, target] : conditions,
    ...(status?.containerStatuses && {
      containerStatuses: status.containerStatuses.map((each) => endedContainer(each, now)),
    }),
    ...(status?.initContainerStatuses && {
      initContainerStatuses: status.initContainerStatuses.map((each) => endedContainer(each, now)),
    }),
  };
}
