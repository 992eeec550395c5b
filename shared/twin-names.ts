/**
 * The allowed names of a consumer's twin namespaces. Namespace names have effects in a cluster: every pod there looks up
 * `github.com` as `github` in the namespace `com` first (Kubernetes, DNS for Services and Pods, search domains), and a consumer
 * that has `monitoring` before the provider creates it receives the objects that are installed there. Pure.
 */
import { twinSuffix } from './names.ts';

export interface TwinNameRules {
  /** The suffix of this peering's twin namespaces. */
  suffix: string;
  /** Names listed in the grant. */
  listed: readonly string[];
}

/** The rules of a peering. */
export const twinNameRules = (
  consumer: string,
  peering: string,
  grant: { twinNamespaces?: readonly string[] | undefined } | undefined,
): TwinNameRules => ({ suffix: twinSuffix(consumer, peering), listed: grant?.twinNamespaces ?? [] });

/**
 * Why a twin namespace may not have that name; undefined if the name itself is allowed.
 *
 * @param others suffixes of other peerings' twin namespaces: `shop-a-b` belongs to `a-b` and not to `b`
 */
export function twinNameProblem(
  name: string,
  { suffix, listed }: TwinNameRules,
  others: readonly string[] = [],
): string | undefined {
  // RFC 5890, section 2.3.1: IDNA reserves such labels, and `xn--p1ai` is a top-level domain.
  if (name.slice(2, 4) === '--')
    return `a name with dashes in its third and fourth place stands for another one (IDNA)`;
  if (listed.includes(name)) return undefined;
  if (!name.endsWith(suffix) || name.length === suffix.length)
    return `it must end in ${suffix}, or be listed in the grant (twinNamespaces)`;
  if (others.some((other) => other.length > suffix.length && name.endsWith(other)))
    return 'it is kept for another consumer';
  return undefined;
}
