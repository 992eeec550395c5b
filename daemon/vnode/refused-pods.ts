/**
 * Handling of a pod that its provider refuses after it was bound: it becomes Failed, like a pod that a kubelet rejects (phase
 * Failed with a reason; Kubernetes, "Pod lifecycle"), so that its controller creates another, which may run elsewhere. A
 * ReplicaSet does so at once and endlessly, and its next pod may be bound to the same node: so only a few pods of each owner
 * are failed, with growing delays, and the others wait.
 */
import type { Pod, PodStatus } from '../../shared/kube/types.ts';
import { offloadedReasons } from './pod-conditions.ts';

export interface RefusedPod {
  /** `Admitted` reason of the record; undefined: the provider stores no further records. */
  reason: string | undefined;
  /** How many pods of the same owner were failed before, and still exist. */
  failedBefore: number;
  /** Milliseconds for which this one is refused. */
  refusedFor: number;
}

/**
 * Reasons for which the provider will never run the unchanged pod. All others may be temporary: room, quotas, its own cordon.
 */
const lasting: readonly (string | undefined)[] = ['FieldNotAllowed', 'PodSecurity', 'Malformed'];
/** These are no refusals: the provider is still busy, with earlier objects or with itself. */
const passing: readonly (string | undefined)[] = ['Preparing', 'NoPeering', 'NameConflict'];

/** The provider checks for room every half minute: wait for one check. */
const roomMilliseconds = 45_000;
const firstDelayMilliseconds = 10_000;
const mostDelayMilliseconds = 300_000;
/** Maximum of failed pods of one owner at a time. */
export const mostFailed = 10;

/** Whether to fail the pod, or when to check it again; undefined: only at the next change. */
export function planRefused(refused: RefusedPod): { fail: true } | { fail: false; againAfter?: number } {
  const { reason, failedBefore, refusedFor } = refused;
  if (passing.includes(reason) || failedBefore >= mostFailed) return { fail: false };
  const patience = lasting.includes(reason) ? 0 : roomMilliseconds;
  const delay =
    failedBefore === 0
      ? 0
      : Math.min(firstDelayMilliseconds * 2 ** (failedBefore - 1), mostDelayMilliseconds);
  const left = Math.max(patience, delay) - refusedFor;
  return left > 0 ? { fail: false, againAfter: left } : { fail: true };
}

/** Whether this pod was failed because its provider refused it: it never ran. */
export const wasRefused = ({ status }: Pod): boolean =>
  status?.phase === 'Failed' && status.reason === offloadedReasons.refused;

export const controllerOf = (pod: Pod): string | undefined =>
  pod.metadata.ownerReferences?.find((owner) => owner.controller === true)?.uid;

/** Virtual nodes that still have failed pods of this pod's owner, to be avoided by the placement of the next one. */
export function nodesRefusing(pod: Pod, others: readonly Pod[]): string[] {
  const owner = controllerOf(pod);
  if (owner === undefined) return [];
  const nodes = others.flatMap((each) =>
    controllerOf(each) === owner && wasRefused(each) ? (each.spec?.nodeName ?? []) : [],
  );
  return [...new Set(nodes)].sort();
}

/** The status of a failed pod, from that of the waiting pod. */
export const refusedStatus = (waiting: PodStatus): PodStatus => ({ ...waiting, phase: 'Failed' });

/** Refused pods, and failed ones that the cache does not show yet. */
export interface RefusedPods {
  /** Decides on a refused pod, and records it. */
  plan(pod: Pod, reason: string | undefined, siblings: readonly Pod[]): ReturnType<typeof planRefused>;
  forget(pod: Pod): void;
}

/** Maximum of pods whose first refusal is recorded; a dropped one waits longer. */
const mostRemembered = 16_384;

export function createRefusedPods(monotonic: () => number): RefusedPods {
  const since = new Map<string, number>();
  const failed = new Set<string>();
  return {
    plan(pod, reason, siblings) {
      const { uid = '' } = pod.metadata;
      const owner = controllerOf(pod);
      const now = monotonic();
      const first = since.get(uid) ?? now;
      since.set(uid, first);
      trim(since);
      const failedBefore =
        owner === undefined
          ? 0
          : siblings.filter(
              (each) =>
                each.metadata.uid !== uid &&
                controllerOf(each) === owner &&
                (wasRefused(each) || failed.has(each.metadata.uid ?? '')),
            ).length;
      const planned = planRefused({ reason, failedBefore, refusedFor: now - first });
      if (planned.fail) {
        failed.add(uid);
        trim(failed);
      }
      return planned;
    },
    forget(pod) {
      since.delete(pod.metadata.uid ?? '');
    },
  };
}

function trim(remembered: Map<string, number> | Set<string>): void {
  const oldest = remembered.keys().next().value;
  if (remembered.size > mostRemembered && oldest !== undefined) remembered.delete(oldest);
}
