/** Which phases of a pod are final. Pure. */
import type { Pod } from './types.ts';

/** Final phases never change (Kubernetes, "Pod phase"). */
export const isFinalPhase = (phase: string | undefined): boolean =>
  phase === 'Succeeded' || phase === 'Failed';

/** Whether the pod has ended and will not run again. */
export const isFinished = (pod: Pod | undefined): boolean => isFinalPhase(pod?.status?.phase);
