/** The twin namespace that an offloaded namespace needs at one provider, and the next step towards it. Pure. */
import type { NamespaceOffloading, TwinNamespace } from '../../shared/api/offloading.ts';
import { findCondition, type Finding } from '../../shared/conditions.ts';
import type { Grant } from '../../shared/api/grant.ts';
import { defaultPeering, labels, twinName, twinSuffix } from '../../shared/names.ts';
import { twinNameProblem, type TwinNameRules } from '../../shared/twin-names.ts';
import type { Namespace } from '../../shared/kube/types.ts';

/** Reasons of `Bound` as the consumer shows it. */
export const twinReasons = {
  /** The provider was not queried, since there is no identity or its caches have not synced. */
  providerUnread: 'ProviderNotReadYet',
  created: 'WaitingForProvider',
  /** The provider does not grant this cluster the name that a person chose. */
  nameNotGranted: 'TwinNameNotGranted',
  /** An older one is being deleted. */
  replacing: 'Replacing',
} as const;

export type TwinStep =
  /** It exists as desired, or must be waited for. */
  | { action: 'None'; finding: Finding }
  | { action: 'Create'; twin: TwinNamespace; finding: Finding }
  /** A TwinNamespace is immutable: another spec needs another object. */
  | { action: 'Delete'; finding: Finding };

/** The TwinNamespace for a namespace. Its name is the source namespace's; its spec names the twin namespace. */
export function desiredTwin(
  namespace: Namespace,
  offloading: NamespaceOffloading,
  consumer: string,
  remote: { tenantNamespace: string; peering: string; grant?: Grant | undefined },
): TwinNamespace {
  return {
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'TwinNamespace',
    metadata: {
      name: namespace.metadata.name,
      namespace: remote.tenantNamespace,
      labels: { [labels.managedBy]: 'hawser', [labels.origin]: consumer },
    },
    spec: {
      sourceNamespace: namespace.metadata.name,
      sourceUID: namespace.metadata.uid ?? '',
      namespace: nameAt(remote, namespace.metadata.name, offloading.spec.twinNamespace, consumer),
    },
  };
}

/** Two peerings with one provider need two namespaces there, even if a person chose the name. */
function nameAt(
  { peering, grant }: { peering: string; grant?: Grant | undefined },
  namespace: string,
  chosen: string | undefined,
  consumer: string,
): string {
  if (chosen === undefined) return twinName(namespace, consumer, peering);
  const first = twinSuffix(consumer, defaultPeering);
  if (peering === defaultPeering || grant?.twinNamespaces?.includes(chosen) === true) return chosen;
  return chosen.endsWith(first) ? twinName(chosen.slice(0, -first.length), consumer, peering) : chosen;
}

/**
 * The next action for the twin namespace, and its condition.
 *
 * @param rules the peering's rules of names; absent if not known yet, so that the provider decides
 */
export function planTwin(
  present: TwinNamespace | undefined,
  wanted: TwinNamespace,
  rules?: TwinNameRules,
): TwinStep {
  const finding = (status: Finding['status'], reason: string, message: string): Finding => ({
    type: 'Bound',
    status,
    reason,
    message,
  });
  const problem = rules && twinNameProblem(wanted.spec.namespace, rules);
  if (present === undefined && problem !== undefined) {
    return {
      action: 'None',
      finding: finding(
        'False',
        twinReasons.nameNotGranted,
        `The provider does not grant the name ${wanted.spec.namespace} for a twin namespace: ${problem}. Change or remove spec.twinNamespace.`,
      ),
    };
  }
  if (present === undefined) {
    return {
      action: 'Create',
      twin: wanted,
      finding: finding(
        'False',
        twinReasons.created,
        `Requesting namespace ${wanted.spec.namespace} from the provider.`,
      ),
    };
  }
  if (present.metadata.deletionTimestamp !== undefined) {
    return {
      action: 'None',
      finding: finding(
        'False',
        twinReasons.replacing,
        'The provider is still removing an earlier twin of this namespace.',
      ),
    };
  }
  const same = (['sourceNamespace', 'sourceUID', 'namespace'] as const).every(
    (field) => present.spec[field] === wanted.spec[field],
  );
  if (!same) {
    return {
      action: 'Delete',
      finding: finding(
        'False',
        twinReasons.replacing,
        `The twin namespace ${present.spec.namespace} belongs to an earlier namespace or has another name; it is being replaced.`,
      ),
    };
  }
  const bound = findCondition(present.status?.conditions, 'Bound');
  if (bound?.status === 'True') {
    return {
      action: 'None',
      finding: finding(
        'True',
        'Bound',
        `Pods run in namespace ${present.status?.namespace ?? wanted.spec.namespace}.`,
      ),
    };
  }
  const conflict = findCondition(present.status?.conditions, 'NameConflict');
  const why = conflict?.status === 'True' ? conflict : bound;
  return {
    action: 'None',
    finding: finding(
      'False',
      why?.reason.slice(0, 128) ?? twinReasons.created,
      why?.message.slice(0, 1024) ?? `The provider has not created namespace ${wanted.spec.namespace} yet.`,
    ),
  };
}

/** `Ready` of the NamespaceOffloading, from the conditions of its twin namespaces. */
export function summarise(twins: readonly { peering: string; finding: Finding }[]): Finding {
  const finding = (status: Finding['status'], reason: string, message: string): Finding => ({
    type: 'Ready',
    status,
    reason,
    message,
  });
  if (twins.length === 0) {
    return finding(
      'False',
      'NoProvider',
      'No virtual node matches; peer with a provider, or widen spec.clusterSelector.',
    );
  }
  const waiting = twins.filter((twin) => twin.finding.status !== 'True');
  if (waiting.length === 0)
    return finding('True', 'TwinsBound', `Pods can run on ${twins.map((twin) => twin.peering).join(', ')}.`);
  return finding(
    'False',
    'TwinsPending',
    waiting.map((twin) => `${twin.peering}: ${twin.finding.message}`).join(' '),
  );
}
