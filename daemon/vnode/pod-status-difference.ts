/** Whether a pod's status must be written. Pure. */
import type { PodStatus } from '../../shared/kube/types.ts';
import { mirroredConditions } from './pod-status.ts';
import { record } from './untrusted.ts';

/** Whether applying the status would change something. */
export function podStatusDiffers(present: PodStatus | undefined, wanted: PodStatus): boolean {
  const seen = present ?? {};
  return (
    (Object.keys(wanted) as (keyof PodStatus)[]).some((field) => {
      if (field !== 'conditions') return !covers(seen[field], wanted[field]);
      return (wanted.conditions ?? []).some((condition) => {
        const before = seen.conditions?.find((each) => each.type === condition.type);
        return !covers(before, condition);
      });
    }) || dropped(seen, wanted)
  );
}

/** Fields that were applied before and are now absent, since the provider no longer reports them. */
function dropped(seen: PodStatus, wanted: PodStatus): boolean {
  const fields = [
    'podIP',
    'reason',
    'message',
    'startTime',
    'containerStatuses',
    'initContainerStatuses',
    'ephemeralContainerStatuses',
  ] as const;
  if (fields.some((field) => seen[field] !== undefined && wanted[field] === undefined)) return true;
  return mirroredConditions.some(
    (type) =>
      (seen.conditions ?? []).some((each) => each.type === type) &&
      !(wanted.conditions ?? []).some((each) => each.type === type),
  );
}

/** Whether `seen` contains everything in `wanted`; the API server adds its own fields (`qosClass`, nulls). */
function covers(seen: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(seen) &&
      seen.length === wanted.length &&
      wanted.every((each, index) => covers(seen[index] as unknown, each))
    );
  }
  if (typeof wanted === 'object' && wanted !== null) {
    const other = record(seen);
    if (other === undefined) return false;
    return (
      Object.entries(wanted).every(([name, value]) => covers(other[name], value)) &&
      Object.entries(other).every(
        ([name, value]) =>
          name in wanted ||
          value === null ||
          (typeof value === 'object' && Object.keys(value).length === 0) ||
          name === 'lastProbeTime' ||
          name === 'observedGeneration',
      )
    );
  }
  return seen === wanted;
}
