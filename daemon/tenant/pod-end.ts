/** How a real pod ends, and what its record says of it then. Pure. */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { isFinalPhase, isFinished } from '../../shared/kube/pod-phase.ts';
import type { ContainerStatus, Pod, PodStatus } from '../../shared/kube/types.ts';
import { toSeconds } from '../../shared/conditions.ts';

/**
 * On real pods: their final status stands in the record before they are gone. The kubelet writes the final phase and deletes
 * the pod within milliseconds; without this the record's last report would be whatever a watch happened to see before.
 */
export const podFinalizer = 'hawser.dev/final-status';

/**
 * Whether a pod that is being deleted has come to its end: its phase is final, or the kubelet (or a person, by force) has
 * deleted it with no grace left. Only finalizers hold it then.
 */
export const isOver = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp !== undefined &&
  (isFinished(pod) || pod.metadata.deletionGracePeriodSeconds === 0);

/** Whether the record's pod is to be kept alive: another one is made when it is deleted here. */
export const isKeptAlive = (shadow: ShadowPod): boolean =>
  (shadow.spec.pod['restartPolicy'] ?? 'Always') === 'Always';

/** Did the pod of this record end for good? Then no other one is made: its controller at home makes another pod. */
export function hasEnded(shadow: ShadowPod): boolean {
  return isFinalPhase((shadow.status?.pod as { phase?: string } | undefined)?.phase);
}

/** Why a pod ended that no kubelet reported the end of. */
export interface Cause {
  reason: string;
  message: string;
}

export const causes = {
  /** The consumer deleted it with no grace, or its node never reported the end. */
  deleted: {
    reason: 'PodDeleted',
    message: 'The pod was deleted at the provider before its kubelet reported how it ended.',
  },
  gone: {
    reason: 'PodGone',
    message: 'The pod is no longer at the provider, and its kubelet did not report how it ended.',
  },
} satisfies Record<string, Cause>;

/** As the kubelet reports a container whose end it did not see. */
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
 * The status of a pod that is over. A final phase stays as its kubelet reported it; a pod that was cut off in the middle is
 * Failed, with the condition DisruptionTarget unless its consumer ended it (Kubernetes, "Pod disruption conditions"), so that
 * a Job's podFailurePolicy can tell a disruption from a failure.
 *
 * @param status as last seen
 * @param disrupted whether somebody other than the consumer ended it
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
