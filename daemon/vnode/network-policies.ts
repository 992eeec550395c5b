/** Whether the network policies of an offloaded namespace hold for the pods that run elsewhere. Pure. */
import type { Condition } from '../../shared/api/meta.ts';
import type { Finding } from '../../shared/conditions.ts';

/** Condition of LocalCluster self, and of a TwinNamespace: whether that cluster's CNI enforces network policies. */
export const enforcedType = 'NetworkPoliciesEnforced';

/** So many are named. */
const mostNames = 5;

/**
 * The condition NetworkPoliciesHold: what a person who wrote policies has to know, as it is.
 *
 * @param policies names of the namespace's policies
 * @param home what is known of this cluster's CNI
 * @param twins the providers, with what each says of its CNI
 */
export function policiesFinding(
  policies: readonly string[],
  home: Condition | undefined,
  twins: readonly { peering: string; enforced?: Condition | undefined }[],
): Finding {
  const type = 'NetworkPoliciesHold';
  if (policies.length === 0) {
    return { type, status: 'True', reason: 'NoPolicies', message: 'the namespace has no network policies' };
  }
  const which = `${listed(policies)} ${policies.length === 1 ? 'does' : 'do'} not hold for pods at providers`;
  const there =
    twins.length === 0
      ? ''
      : ` At ${listed(twins.map(({ peering }) => peering))} every pod of this cluster reaches the pods of this namespace, whatever the policies say.`;
  const unguarded = twins
    .filter(({ enforced }) => enforced?.status === 'False')
    .map(({ peering }) => peering);
  const neighbours =
    unguarded.length === 0
      ? ''
      : ` The CNI of ${listed(unguarded)} enforces none at all, so that pods of that cluster reach them too.`;
  if (home?.status === 'False') {
    return {
      type,
      status: 'False',
      reason: 'NotEnforced',
      message: `${which}, nor for any here: this cluster’s CNI enforces no network policies.${there}${neighbours}`,
    };
  }
  const here =
    home?.status === 'True'
      ? 'Here this cluster’s CNI enforces them'
      : 'Whether this cluster’s CNI enforces them here is not known; if it does';
  return {
    type,
    status: 'False',
    reason: 'NotCarried',
    message: `${which}.${there}${neighbours} ${here}: a rule that selects pods by label may not know those at providers; add their ranges (kubectl get tunnels) by ipBlock.`,
  };
}

function listed(names: readonly string[]): string {
  const sorted = names.toSorted();
  const shown = sorted.slice(0, mostNames).join(', ');
  return sorted.length > mostNames ? `${shown} and ${sorted.length - mostNames} more` : shown;
}
