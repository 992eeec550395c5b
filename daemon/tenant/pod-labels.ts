/**
 * Labels of a consumer's pods here: the consumer's own, so that its network policies can select by them, and the provider's.
 * Pure.
 */
import type { LabelSelector, ShadowPolicy } from '../../shared/api/policies.ts';
import { findCondition } from '../../shared/conditions.ts';
import { selectorMatches } from '../../shared/label-selectors.ts';
import { shorten } from '../../shared/names.ts';

/**
 * Keys with these prefixes, and keys without prefix, are taken from the consumer unchanged. Others may have a meaning in this
 * cluster: for its CNI, its policies, its service meshes.
 */
const keptPrefixes = new Set([
  'app.kubernetes.io',
  'apps.kubernetes.io',
  'statefulset.kubernetes.io',
  'batch.kubernetes.io',
  'helm.sh',
]);
/** Prefix for all other keys, under which they have a meaning only for policies of the same consumer. */
const carriedPrefix = 'label.hawser.dev';
/** A label's name after its prefix (Kubernetes, "Labels and Selectors"). */
const longestName = 63;

/** The pod is selected by a policy of its consumer, so the default access of its twin namespace does not apply. */
export const restrictedLabels = {
  Ingress: 'policy.hawser.dev/restricted-ingress',
  Egress: 'policy.hawser.dev/restricted-egress',
} as const;

/** The key here of a consumer's label. */
export function keyHere(key: string): string {
  const slash = key.indexOf('/');
  if (slash < 0 || keptPrefixes.has(key.slice(0, slash))) return key;
  // Prefixes contain no underscore (RFC 1123), so no two keys collide.
  return `${carriedPrefix}/${shorten(key.replace('/', '_'), longestName)}`;
}

/** A consumer's labels in their form here. */
export const labelsHere = (labels: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(labels).map(([key, value]) => [keyHere(key), value]));

/** A consumer's selector, translated to labels here. */
export function selectorHere({ matchLabels, matchExpressions }: LabelSelector): LabelSelector {
  return {
    ...(matchLabels !== undefined && { matchLabels: labelsHere(matchLabels) }),
    ...(matchExpressions !== undefined && {
      matchExpressions: matchExpressions.map((each) => ({ ...each, key: keyHere(each.key) })),
    }),
  };
}

/**
 * The directions in which the consumer's policies select the pod. Policies without a condition yet don't count, so that
 * nothing is blocked before their rules are in force. One that cannot be created here counts, and so denies.
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

/** Whether the label may come from the consumer or result from its policies. */
function isOurs(key: string): boolean {
  const prefix = key.slice(0, Math.max(0, key.indexOf('/')));
  return (
    keyHere(key) === key || prefix === carriedPrefix || Object.values<string>(restrictedLabels).includes(key)
  );
}

/** Changes of a pod's labels, with null for removed ones; undefined if there are none. */
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
