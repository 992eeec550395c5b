/**
 * What becomes of a pod that its provider refuses after it was bound: Failed, as a kubelet fails what it does not admit (phase
 * Failed with a reason; Kubernetes, "Pod lifecycle"), so that its controller makes another, which may go elsewhere. A ReplicaSet
 * does so at once and without end, and its next pod may well come to the same node; so few are failed of each owner, later and
 * later, and the rest wait where they are.
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

/** Reasons for which the provider will never run a pod as it is. All others may pass: room, quotas, its own cordon. */
const lasting: readonly (string | undefined)[] = ['FieldNotAllowed', 'PodSecurity', 'Malformed'];
/** Nothing is refused by these: the provider is busy with what was before, or with itself. */
const passing: readonly (string | undefined)[] = ['Preparing', 'NoPeering', 'NameConflict'];

/** The provider looks each half minute whether there is room by now: it gets to do so once. */
const roomMilliseconds = 45_000;
const firstDelayMilliseconds = 10_000;
const mostDelayMilliseconds = 300_000;
/** Failed pods of one owner that exist at a time. */
export const mostFailed = 10;

/** Whether to fail the pod, or when to look at it again; undefined: only what changes brings it back. */
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

/** Whether this pod was failed since its provider refused it: nothing of it ever ran. */
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

/** The status of a pod that is failed, from that of the pod that waits. */
export const refusedStatus = (waiting: PodStatus): PodStatus => ({ ...waiting, phase: 'Failed' });

/** Pods that are refused, and those that were failed but that the cache does not show so yet. */
export interface RefusedPods {
  /** Decides on a pod that is refused now, and remembers it. */
  plan(pod: Pod, reason: string | undefined, siblings: readonly Pod[]): ReturnType<typeof planRefused>;
  forget(pod: Pod): void;
}

/** For how many pods it is remembered since when they are refused; one that is forgotten waits longer. */
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
