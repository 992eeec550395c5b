/** What to do about one pod of a virtual node and its record at the provider. Pure. */
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { annotations } from '../../shared/names.ts';
import type { Pod } from '../../shared/kube/types.ts';
import { isFinished } from '../../shared/kube/pod-phase.ts';
import { isLostWithNode, type Blocker } from './pod-status.ts';
import { wasRefused } from './refused-pods.ts';
import { deletionGrace, deletionGraceAnnotation, ownGrace, shadowPodDiffers } from './shadow-pod.ts';

export interface PodState {
  /** The pod here; undefined when there is none of that name on a virtual node. */
  pod: Pod | undefined;
  /** Why the pod can't be at the provider now; undefined: it can. */
  blocker: Blocker | undefined;
  /** The record in the twin, as last seen. */
  shadow: ShadowPod | undefined;
  /** Whether "no record" is known, and not just not seen yet. */
  shadowsRead: boolean;
  /** The record as it should be; undefined while there is a blocker. */
  wanted: ShadowPod | undefined;
  /** There never was, and never will be, a record of it: its namespace has no twin there. */
  neverOffered: boolean;
}

export type PodAction =
  | 'None'
  | 'CreateShadow'
  | 'UpdateShadow'
  /** The provider stopped the pod while this cluster was away, and it is still wanted. */
  | 'ResumeShadow'
  /** The record is of another pod, or of none, or of one that is being deleted. */
  | 'DeleteShadow'
  /** Somebody asked for less grace after the record's deletion began. */
  | 'ShortenGrace'
  /** The provider's cluster gave the pod up with its node: it is deleted here, as the node's own controller would. */
  | 'FollowDeletion'
  /** The provider has nothing left of it: the pod here may be deleted. */
  | 'FinishDeletion';

/** One step; the next event asks again. */
export function planPod(state: PodState): PodAction {
  const { pod, shadow, wanted, blocker } = state;
  if (pod === undefined) return shadow === undefined || isLeaving(shadow) ? 'None' : 'DeleteShadow';
  if (pod.metadata.deletionTimestamp !== undefined) {
    // A record of another pod of this name is none of ours; the pod that follows deals with it.
    const ours = shadow !== undefined && shadow.spec.podUID === pod.metadata.uid;
    if (ours && isLeaving(shadow)) return isShortened(pod, shadow) ? 'ShortenGrace' : 'None';
    if (ours) return 'DeleteShadow';
    return state.shadowsRead || state.neverOffered ? 'FinishDeletion' : 'None';
  }
  // What was failed here must not begin to run there when room is made.
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

/** Whether the pod is to end sooner than the record says. */
function isShortened(pod: Pod, shadow: ShadowPod): boolean {
  const noted = Number(shadow.metadata.annotations?.[deletionGraceAnnotation] ?? ownGrace(pod));
  return (deletionGrace(pod) ?? ownGrace(pod)) < noted;
}
