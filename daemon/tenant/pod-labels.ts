/**
 * Labels of a consumer's pods here: its own, so that its network policies select by them, and what the provider says by
 * labels of its own. Pure.
 */
import type { LabelSelector, ShadowPolicy } from '../../shared/api/policies.ts';
import { findCondition } from '../../shared/conditions.ts';
import { selectorMatches } from '../../shared/label-selectors.ts';
import { shorten } from '../../shared/names.ts';

/**
 * Keys with these prefixes may come from a consumer, and keys without any. Others can mean something to this cluster:
 * its network plugin, its policies, its meshes.
 */
const keptPrefixes = new Set([
  'app.kubernetes.io',
  'apps.kubernetes.io',
  'statefulset.kubernetes.io',
  'batch.kubernetes.io',
  'helm.sh',
]);
/** Under which the others are carried, where they mean nothing but to policies of the same consumer. */
const carriedPrefix = 'label.hawser.dev';
/** A label's name after its prefix (Kubernetes, "Labels and Selectors"). */
const longestName = 63;

/** The pod is selected by a policy of its consumer, and the default of its twin does not hold for it. */
export const restrictedLabels = {
  Ingress: 'policy.hawser.dev/restricted-ingress',
  Egress: 'policy.hawser.dev/restricted-egress',
} as const;

/** What a consumer's label is called here. */
export function keyHere(key: string): string {
  const slash = key.indexOf('/');
  if (slash < 0 || keptPrefixes.has(key.slice(0, slash))) return key;
  // No prefix holds an underscore (RFC 1123), so that no two keys become one.
  return `${carriedPrefix}/${shorten(key.replace('/', '_'), longestName)}`;
}

/** A consumer's labels as its pods have them here. */
export const labelsHere = (labels: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(labels).map(([key, value]) => [keyHere(key), value]));

/** A consumer's selector, for labels as they are here. */
export function selectorHere({ matchLabels, matchExpressions }: LabelSelector): LabelSelector {
  return {
    ...(matchLabels !== undefined && { matchLabels: labelsHere(matchLabels) }),
    ...(matchExpressions !== undefined && {
      matchExpressions: matchExpressions.map((each) => ({ ...each, key: keyHere(each.key) })),
    }),
  };
}

/**
 * For which directions the consumer's policies select the pod. Those of which nothing is said yet don't count: nothing is
 * cut off before what they open is open. One that cannot be carried closes.
 */
export function restrictions(
  labels: Readonly<Record<string, string>> | undefined,
  policies: readonly ShadowPolicy[],
): Record<string, string> {
  const selecting = policies.filter(
    ({ metadata, spec, status }) =>
      metadata.deletionTimestamp === undefined &&
      findCondition(status?.conditions, 'Carried') !== undefined &&
      selectorMatches(spec.podSelector, labels),
  );
  return Object.fromEntries(
    (['Ingress', 'Egress'] as const)
      .filter((type) => selecting.some(({ spec }) => spec.policyTypes.includes(type)))
      .map((type) => [restrictedLabels[type], 'true']),
  );
}

/** Could the label have come from the consumer, or say what its policies do? */
function isOurs(key: string): boolean {
  const prefix = key.slice(0, Math.max(0, key.indexOf('/')));
  return (
    keyHere(key) === key || prefix === carriedPrefix || Object.values<string>(restrictedLabels).includes(key)
  );
}

/** What has to change of a pod's labels, null for what has to go; undefined: nothing. */
export function labelChanges(
  wanted: Readonly<Record<string, string>>,
  present: Readonly<Record<string, string>> = {},
): Record<string, string | null> | undefined {
  const changes = Object.fromEntries([
    ...Object.entries(wanted).filter(([key, value]) => present[key] !== value),
    ...Object.keys(present)
      .filter((key) => !Object.hasOwn(wanted, key) && isOurs(key))
      .map((key): [string, null] => [key, null]),
  ]);
  return Object.keys(changes).length === 0 ? undefined : changes;
}
