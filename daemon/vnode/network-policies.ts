/** Whether the network policies of an offloaded namespace apply to the pods that run elsewhere. Pure. */
import type { Condition } from '../../shared/api/meta.ts';
import type { Finding } from '../../shared/conditions.ts';

/** Condition of LocalCluster self, and of a TwinNamespace: whether that cluster's CNI enforces network policies. */
export const enforcedType = 'NetworkPoliciesEnforced';

/** Maximum number of policies named in a message. */
const mostNames = 5;
const longestWhy = 300;

/** A provider, and its reports. */
export interface PoliciesThere {
  peering: string;
  /** The condition of its CNI. */
  enforced?: Condition | undefined;
  /** By policy name: the condition Carried of its record; undefined until it was read. */
  carried?: ReadonlyMap<string, Condition | undefined> | undefined;
}

type Verdict = 'Held' | 'NotEnforced' | 'NotKnown' | 'NotCarried';

/**
 * The condition NetworkPoliciesHold: whether the namespace's policies are effective at each provider.
 *
 * @param policies names of the namespace's policies
 * @param home the condition of this cluster's CNI
 */
export function policiesFinding(
  policies: readonly string[],
  home: Condition | undefined,
  twins: readonly PoliciesThere[],
): Finding {
  const type = 'NetworkPoliciesHold';
  if (policies.length === 0) {
    return { type, status: 'True', reason: 'NoPolicies', message: 'the namespace has no network policies' };
  }
  const there = twins
    .toSorted((a, b) => (a.peering < b.peering ? -1 : 1))
    .map((twin) => evaluate(policies, twin));
  const verdicts = new Set(there.map(({ verdict }) => verdict));
  const { reason, status, message } = atHome(home);
  const all = { type, message: [message, ...said(there)].join(' ') };
  if (status === 'False' || verdicts.has('NotEnforced'))
    return { ...all, status: 'False', reason: 'NotEnforced' };
  if (verdicts.has('NotCarried')) return { ...all, status: 'False', reason: 'NotCarried' };
  if (status === 'Unknown' || verdicts.has('NotKnown'))
    return { ...all, status: 'Unknown', reason: 'NotTried' };
  return { ...all, status, reason };
}

/**
 * Pods at providers are pods on virtual nodes here, with the address by which this cluster knows them; a CNI that resolves
 * selectors by pods' addresses knows them. One that resolves by its own records of the pods that it started does not.
 */
function atHome(home: Condition | undefined): Pick<Finding, 'status' | 'reason' | 'message'> {
  const byAddress =
    'a rule that selects pods by label matches offloaded pods by the addresses in their status; if the CNI matches only its own pods, add the ranges of the offloaded ones as ipBlock (kubectl get tunnels)';
  if (home?.status === 'False') {
    return {
      status: 'False',
      reason: 'NotEnforced',
      message: 'This cluster’s CNI does not enforce network policies.',
    };
  }
  return home?.status === 'True'
    ? {
        status: 'True',
        reason: 'Held',
        message: `This cluster’s CNI enforces network policies: ${byAddress}.`,
      }
    : {
        status: 'Unknown',
        reason: 'NotTried',
        message: `It is unknown whether this cluster’s CNI enforces network policies; if it does, ${byAddress}.`,
      };
}

function evaluate(
  policies: readonly string[],
  { peering, enforced, carried }: PoliciesThere,
): { peering: string; verdict: Verdict; text: string } {
  if (carried === undefined) {
    const text = `may not be carried: the policy records of that provider have not been read`;
    return { peering, verdict: 'NotCarried', text };
  }
  const missing = policies.filter((name) => carried.get(name)?.status !== 'True');
  if (missing.length > 0) {
    const why = missing.map((name) => carried.get(name)?.message).find((each) => each !== undefined);
    const reason = why?.slice(0, longestWhy) ?? 'the provider has not processed them yet';
    return { peering, verdict: 'NotCarried', text: `are not all carried (${listed(missing)}: ${reason})` };
  }
  const part = policies.filter((name) => carried.get(name)?.reason === 'CarriedInPart');
  const cut = part.length === 0 ? '' : ` (${listed(part)} except what that provider blocks)`;
  if (enforced?.status === 'True')
    return { peering, verdict: 'Held', text: `are carried and enforced${cut}` };
  if (enforced?.status === 'False') {
    return {
      peering,
      verdict: 'NotEnforced',
      text: 'are carried, but that cluster’s CNI does not enforce them',
    };
  }
  return {
    peering,
    verdict: 'NotKnown',
    text: `are carried${cut}; it is unknown whether that cluster’s CNI enforces them`,
  };
}

/** A sentence for each problem, with the providers that have it. */
function said(there: readonly { peering: string; text: string }[]): string[] {
  const texts = [...new Set(there.map(({ text }) => text))];
  return texts.map((text) => {
    const peerings = there.filter((each) => each.text === text).map(({ peering }) => peering);
    return `At ${listed(peerings)} they ${text}.`;
  });
}

function listed(names: readonly string[]): string {
  const sorted = names.toSorted();
  const shown = sorted.slice(0, mostNames).join(', ');
  return sorted.length > mostNames ? `${shown} and ${sorted.length - mostNames} more` : shown;
}
