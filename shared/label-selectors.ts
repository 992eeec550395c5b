/** Label selectors with the semantics of Kubernetes ("Labels and Selectors"). Pure. */
import type { LabelSelector } from './api/policies.ts';

/** Whether the labels match. An empty selector matches everything. */
export function selectorMatches(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>> = {},
): boolean {
  const has = (key: string) => Object.hasOwn(labels, key);
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, value]) => has(key) && labels[key] === value) &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      if (operator === 'Exists') return has(key);
      if (operator === 'DoesNotExist') return !has(key);
      // A missing label has none of the values.
      const listed = has(key) && values.includes(labels[key] ?? '');
      return operator === 'In' ? listed : !listed;
    })
  );
}
