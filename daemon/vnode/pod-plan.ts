/** The next action for one pod of a virtual node and its record at the provider. Pure. */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { annotations } from '../../shared/names.ts';
import type { Pod } from '../../shared/kube/types.ts';
import { isFinished } from '../../shared/kube/pod-phase.ts';
import { isLostWithNode, type Blocker } from './pod-status.ts';
import { wasRefused } from './refused-pods.ts';
import { deletionGrace, deletionGraceAnnotation, ownGrace, shadowPodDiffers } from './shadow-pod.ts';

export interface PodState {
  /** The pod here; undefined if no pod of that name is on a virtual node. */
  pod: Pod | undefined;
  /** Why the pod can't be at the provider now; undefined if it can. */
  blocker: Blocker | undefined;
  /** The cached record in the twin namespace. */
  shadow: ShadowPod | undefined;
  /** Whether the cache has synced, so that an absent record does not exist. */
  shadowsRead: boolean;
  /** The desired record; undefined while there is a blocker. */
  wanted: ShadowPod | undefined;
  /** Its namespace has no twin namespace there, so it never had a record. */
  neverOffered: boolean;
}

export type PodAction =
  | 'None'
  | 'CreateShadow'
  | 'UpdateShadow'
  /** The provider stopped the pod while this cluster was disconnected, and the pod still exists here. */
  | 'ResumeShadow'
  /** The record belongs to another pod, to none, or to one that is being deleted. */
  | 'DeleteShadow'
  /** A shorter grace period was requested after the record's deletion began. */
  | 'ShortenGrace'
  /** The provider's pod was lost with its node: it is deleted here, as a node lifecycle controller would. */
  | 'FollowDeletion'
  /** Nothing of it is left at the provider, so the pod here may be deleted. */
  | 'FinishDeletion';

/** Returns one action; the next event plans again. */
export function planPod(state: PodState): PodAction {
  const { pod, shadow, wanted, blocker } = state;
  if (pod === undefined) return shadow === undefined || isLeaving(shadow) ? 'None' : 'DeleteShadow';
  if (pod.metadata.deletionTimestamp !== undefined) {
    // A record of another pod of this name is handled when that pod is reconciled.
    const ours = shadow !== undefined && shadow.spec.podUID === pod.metadata.uid;
    if (ours && isLeaving(shadow)) return isShortened(pod, shadow) ? 'ShortenGrace' : 'None';
    if (ours) return 'DeleteShadow';
    return state.shadowsRead || state.neverOffered ? 'FinishDeletion' : 'None';
  }
  // A pod that was failed here must not start there when there is room.
  if (
    shadow !== undefined &&
    !isLeaving(shadow) &&
    shadow.spec.podUID === pod.metadata.uid &&
    wasRefused(pod)
  )
    return 'DeleteShadow';
  if (blocker !== undefined || wanted === undefined || !state.shadowsRead) return 'None';
  // A finished pod keeps its record for its logs, but is never started again.
  if (shadow === undefined) return isFinished(pod) ? 'None' : 'CreateShadow';
  if (isLeaving(shadow)) return 'None';
  if (shadow.spec.podUID !== pod.metadata.uid) return 'DeleteShadow';
  if (isFinished(pod)) return 'None';
  if (isLostWithNode(shadow)) return 'FollowDeletion';
  if (shadowPodDiffers(shadow, wanted)) return 'UpdateShadow';
  const { stoppedAt } = shadow.status ?? {};
  return stoppedAt !== undefined && shadow.metadata.annotations?.[annotations.resume] !== stoppedAt
    ? 'ResumeShadow'
    : 'None';
}

const isLeaving = (shadow: ShadowPod) => shadow.metadata.deletionTimestamp !== undefined;

/** Whether the pod must end sooner than its record states. */
function isShortened(pod: Pod, shadow: ShadowPod): boolean {
  const noted = Number(shadow.metadata.annotations?.[deletionGraceAnnotation] ?? ownGrace(pod));
  return (deletionGrace(pod) ?? ownGrace(pod)) < noted;
}
