/** Pods of DaemonSets that tolerate every taint, and so run on virtual nodes too. Pure. */
import { toSeconds } from '../../shared/conditions.ts';
import type { Pod, PodStatus } from '../../shared/kube/types.ts';
import { carried, offloadedCondition, offloadedReasons } from './pod-conditions.ts';

export const isDaemonPod = (pod: Pod): boolean =>
  pod.metadata.ownerReferences?.some((owner) => owner.controller === true && owner.kind === 'DaemonSet') ??
  false;

/** Whether no provider runs the pod, for this reason of the condition hawser.dev/Offloaded. */
export const neverRuns = (reason: string): boolean =>
  reason === offloadedReasons.notOffloaded || reason === offloadedReasons.refused;

/**
 * A DaemonSet that tolerates every taint (kube-proxy, CNI, CSI, node-exporter) has a pod on each virtual node too. If it were
 * Pending there, it would use up `maxUnavailable` and block the rollout on the cluster's real nodes. The provider runs such
 * daemons on its own nodes, so the pod is reported as available without containers and address, and a condition states that
 * it does not run (docs/design/daemonsets.md).
 */
export function standIn(
  pod: Pod,
  host: Pick<PodStatus, 'hostIP' | 'hostIPs'>,
  why: string,
  now: number,
): PodStatus {
  const message = `No container of this pod runs: ${why} It is reported as Ready so that rollouts of its DaemonSet go on.`;
  const types = ['Initialized', 'ContainersReady', 'Ready'] as const;
  return {
    phase: 'Running',
    ...host,
    startTime: pod.status?.startTime ?? toSeconds(now),
    reason: offloadedReasons.notRun,
    conditions: [
      ...types.map((type) => carried(pod, { type, status: 'True', reason: offloadedReasons.notRun }, now)),
      carried(
        pod,
        { type: offloadedCondition, status: 'False', reason: offloadedReasons.notRun, message },
        now,
      ),
    ],
  };
}
