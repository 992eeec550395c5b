/**
 * Which names a consumer's twin namespaces may have. A name in a cluster is more than a name: every pod there looks up
 * `github.com` as `github` in the namespace `com` first (Kubernetes, DNS for Services and Pods, search domains), and whoever
 * has `monitoring` before the provider needs it gets what is installed there. Pure.
 */
import { twinSuffix } from './names.ts';

export interface TwinNameRules {
  /** What the names of this peering's twin namespaces end in. */
  suffix: string;
  /** Names that the grant lists. */
  listed: readonly string[];
}

/** The rules of a peering. */
export const twinNameRules = (
  consumer: string,
  peering: string,
  grant: { twinNamespaces?: readonly string[] | undefined } | undefined,
): TwinNameRules => ({ suffix: twinSuffix(consumer, peering), listed: grant?.twinNamespaces ?? [] });

/**
 * Why a twin namespace may not have that name; undefined: it may, as far as the name itself goes.
 *
 * @param others what the names of other peerings' twin namespaces end in: `shop-a-b` is of `a-b` and not of `b`
 */
export function twinNameProblem(
  name: string,
  { suffix, listed }: TwinNameRules,
  others: readonly string[] = [],
): string | undefined {
  // RFC 5890, section 2.3.1: such labels are of the IDNA, and `xn--p1ai` is a top-level domain.
  if (name.slice(2, 4) === '--')
    return `a name with dashes in its third and fourth place stands for another one (IDNA)`;
  if (listed.includes(name)) return undefined;
  if (!name.endsWith(suffix) || name.length === suffix.length)
    return `it must end in ${suffix}, or be listed in the grant (twinNamespaces)`;
  if (others.some((other) => other.length > suffix.length && name.endsWith(other)))
    return 'it is kept for another consumer';
  return undefined;
}
