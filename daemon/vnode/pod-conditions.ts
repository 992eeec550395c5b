/** The conditions that Hawser writes on offloaded pods, and their transition times. Pure. */
import { toSeconds } from '../../shared/conditions.ts';
import type { Pod, PodCondition } from '../../shared/kube/types.ts';
import { longestMessage } from './untrusted.ts';

/** Condition on the consumer's pod: whether the provider admitted it. */
export const offloadedCondition = 'hawser.dev/Offloaded';

export const offloadedReasons = {
  admitted: 'Admitted',
  /** The provider refuses the pod, with its own message. */
  refused: 'RefusedByProvider',
  /** The provider admitted it, but its scheduler finds no node. */
  unschedulable: 'UnschedulableAtProvider',
  /** The provider runs the pod but refuses later changes. */
  changeRefused: 'ChangeRefusedByProvider',
  /** The provider has not decided yet. */
  waiting: 'WaitingForProvider',
  /** The namespace has no twin namespace there (yet). */
  twinPending: 'TwinPending',
  /** The pod tolerates every taint, but its namespace is not offloaded. */
  notOffloaded: 'NamespaceNotOffloaded',
  /** The provider reports an address that is not its own, or another pod's. */
  badAddress: 'AddressNotAccepted',
  /** A DaemonSet wants a pod on every node, and no provider runs this one. */
  notRun: 'DaemonPodNotRun',
} as const;

/** A condition whose transition time moves only with its status. */
export function carried(
  pod: Pod,
  condition: { type: string; status: string; reason?: string; message?: string },
  now: number,
): PodCondition {
  const before = pod.status?.conditions?.find((each) => each.type === condition.type);
  return {
    ...condition,
    ...(condition.message !== undefined && { message: condition.message.slice(0, longestMessage * 2) }),
    lastTransitionTime:
      before?.status === condition.status ? (before.lastTransitionTime ?? toSeconds(now)) : toSeconds(now),
  };
}
