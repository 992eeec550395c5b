/** Conditions of objects (Kubernetes API conventions, "Typical status properties"). Pure. */
import type { Condition } from './api/meta.ts';

export type ConditionStatus = Condition['status'];

/** A condition as evaluated by a controller; its transition time is computed. */
export interface Finding {
  type: string;
  status: ConditionStatus;
  /** CamelCase, a constant beside the feature. */
  reason: string;
  /** A sentence: the state, what is awaited and since when, and what an administrator can do. */
  message: string;
  observedGeneration?: number | undefined;
}

/** The condition of that type, if it exists. */
export function findCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** True only if the condition exists and its status is `True`. */
export function isTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/**
 * The condition to write for a finding: the previous one itself (same reference) if nothing changed, otherwise a new one, whose
 * `lastTransitionTime` changes only with the status.
 *
 * @param now milliseconds since 1970
 */
export function nextCondition(previous: Condition | undefined, finding: Finding, now: number): Condition {
  const message = finding.message.slice(0, 4096);
  if (
    previous !== undefined &&
    previous.status === finding.status &&
    previous.reason === finding.reason &&
    previous.message === message &&
    previous.observedGeneration === finding.observedGeneration
  ) {
    return previous;
  }
  const transitioned = previous === undefined || previous.status !== finding.status;
  return {
    type: finding.type,
    status: finding.status,
    ...(finding.observedGeneration !== undefined && { observedGeneration: finding.observedGeneration }),
    lastTransitionTime: transitioned ? toSeconds(now) : previous.lastTransitionTime,
    reason: finding.reason,
    message,
  };
}

/** Sets one condition in a list, in its place or at the end. Returns the same list if nothing changed. */
export function setCondition(
  conditions: readonly Condition[] | undefined,
  finding: Finding,
  now: number,
): readonly Condition[] {
  const list = conditions ?? [];
  const previous = findCondition(list, finding.type);
  const next = nextCondition(previous, finding, now);
  if (next === previous) return list;
  return previous === undefined ? [...list, next] : list.map((each) => (each === previous ? next : each));
}

/** Sets several, in order. Returns the same list if nothing changed. */
export function setConditions(
  conditions: readonly Condition[] | undefined,
  findings: readonly Finding[],
  now: number,
): readonly Condition[] {
  return findings.reduce<readonly Condition[]>(
    (list, finding) => setCondition(list, finding, now),
    conditions ?? [],
  );
}

/**
 * The conditions that a controller writes by server-side apply: only those of its findings, updated from the object's present
 * ones, since every condition has one owner.
 */
export function ownConditions(
  conditions: readonly Condition[] | undefined,
  findings: readonly Finding[],
  now: number,
): Condition[] {
  return findings.map((finding) => nextCondition(findCondition(conditions, finding.type), finding, now));
}

/** Conditions of the second list whose status differs from the first, which deserve an Event. */
export function turnedConditions(
  before: readonly Condition[] | undefined,
  after: readonly Condition[],
): readonly Condition[] {
  return after.filter((condition) => findCondition(before, condition.type)?.status !== condition.status);
}

/** How long the condition has had its status, in words; empty if that isn't known. */
export function since(condition: Condition | undefined, now: number): string {
  if (condition === undefined) return '';
  const seconds = Math.max(0, Math.round((now - Date.parse(condition.lastTransitionTime)) / 1000));
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** RFC 3339 in whole seconds, as metav1.Time is written. */
export function toSeconds(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19)}Z`;
}
