/** The desired state of a peering from both sides, and the progress of a drain. Pure. */
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import type { Finding } from '../../shared/conditions.ts';
import { keyOf } from '../../shared/kube/refs.ts';
import type { Pod } from '../../shared/kube/types.ts';
import { isFinished } from '../../shared/kube/pod-phase.ts';
import { isDaemonPod } from './daemon-pods.ts';

type Desired = OutgoingPeering['spec']['desired'];

/** Reasons of `Schedulable` on the OutgoingPeering. */
export const schedulableReasons = {
  active: 'Active',
  cordoned: 'Cordoned',
  /** A drain is in progress. */
  draining: 'Draining',
  drained: 'Drained',
} as const;

const strictness: Readonly<Record<Desired, number>> = { Active: 0, Cordoned: 1, Drained: 2 };

/** The effective state: the stricter one of this cluster's and the provider's. `by` names its origin. */
export function desireOf(peering: OutgoingPeering): { desired: Desired; by: 'Consumer' | 'Provider' } {
  const own = peering.spec.desired;
  const theirs = peering.status?.providerDesired ?? 'Active';
  return strictness[theirs] > strictness[own]
    ? { desired: theirs, by: 'Provider' }
    : { desired: own, by: 'Consumer' };
}

/**
 * The pods that a drain evicts, as in `kubectl drain`: not finished ones, and not those of a DaemonSet, which would be
 * recreated on the same node at once.
 */
export function podsToLeave(pods: readonly Pod[]): Pod[] {
  return pods.filter((pod) => !isFinished(pod) && !isDaemonPod(pod));
}

/** Number of pods named in a message; the rest are counted. */
const mostNamed = 3;

const named = (keys: readonly string[]): string =>
  `${keys.slice(0, mostNamed).join(', ')}${keys.length > mostNamed ? ', …' : ''}`;

/**
 * `Schedulable` of the OutgoingPeering.
 *
 * @param leaving pods to be evicted that are still on the node
 * @param heldBack those of them that a disruption budget currently protects
 */
export function schedulableFinding(
  peering: OutgoingPeering,
  leaving: readonly Pod[],
  heldBack: ReadonlySet<string>,
): Finding {
  const type = 'Schedulable';
  const { nodeName, remoteCluster } = peering.spec;
  const { desired, by } = desireOf(peering);
  const who = by === 'Provider' ? `the provider ${remoteCluster}` : 'this cluster';
  if (desired === 'Active') {
    return {
      type,
      status: 'True',
      reason: schedulableReasons.active,
      message: `new pods can be scheduled to node ${nodeName}`,
    };
  }
  if (desired === 'Cordoned') {
    return {
      type,
      status: 'False',
      reason: schedulableReasons.cordoned,
      message: `cordoned by ${who}: no new pods are scheduled to node ${nodeName}; running pods stay`,
    };
  }
  if (leaving.length === 0) {
    return {
      type,
      status: 'False',
      reason: schedulableReasons.drained,
      message: `drained by ${who}: no pods are left on node ${nodeName}, and no new ones are scheduled to it`,
    };
  }
  const kept = leaving.map((pod) => keyOf(pod)).filter((key) => heldBack.has(key));
  return {
    type,
    status: 'False',
    reason: schedulableReasons.draining,
    message:
      `being drained by ${who}: ${leaving.length} pods are still on node ${nodeName} (${named(leaving.map((pod) => keyOf(pod)))})` +
      (kept.length === 0
        ? ''
        : `; blocked by disruption budgets (kubectl get pdb -A): ${kept.length} (${named(kept)})`),
  };
}
