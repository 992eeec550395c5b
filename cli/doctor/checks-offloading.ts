/** Checks of what is offloaded: quota, virtual nodes, names, and what the other side says. Pure. */
import type { Grant } from '../../shared/api/grant.ts';
import { findCondition } from '../../shared/conditions.ts';
import { compareQuantities } from '../../shared/quantities.ts';
import { incomingOf, outgoingOf } from './checks-control-plane.ts';
import type { Check, Finding } from './finding.ts';

const group = 'Offloading';

/** Which part of a grant is used up; empty when there is room. */
function usedUp(grant: Grant, used: { cpu: string; memory: string; pods: number }): string[] {
  return [
    ...(compareQuantities(used.cpu, grant.cpu) >= 0 ? [`${used.cpu} of ${grant.cpu} CPUs`] : []),
    ...(compareQuantities(used.memory, grant.memory) >= 0
      ? [`${used.memory} of ${grant.memory} of memory`]
      : []),
    ...(used.pods >= grant.pods ? [`${used.pods} of ${grant.pods} pods`] : []),
  ];
}

export const quota: Check = (facts) => {
  const findings: Finding[] = [];
  const why = 'pods that come now stay Pending until others end';
  for (const peering of outgoingOf(facts)) {
    const { state } = peering.status?.provider ?? {};
    const said = state?.problems.find(({ type }) => type === 'QuotaAvailable');
    const full = state?.used === undefined ? [] : usedUp(state.grant, state.used);
    if (state?.used === undefined && said === undefined) continue;
    findings.push(
      full.length > 0 || said !== undefined
        ? {
            group,
            check: 'quota',
            subject: peering.metadata.name,
            verdict: 'Bad',
            seen: `what ${peering.spec.remoteCluster} grants is used up: ${full.join(', ') || (said?.message ?? '')}`,
            why,
            hint: `at the provider: kubectl edit incomingpeering (spec.grant); or end pods here: kubectl get pods -A --field-selector spec.nodeName=${peering.spec.nodeName}`,
          }
        : {
            group,
            check: 'quota',
            subject: peering.metadata.name,
            verdict: 'Good',
            seen: `used ${state?.used?.pods} of ${state?.grant.pods} pods, ${state?.used?.cpu} of ${state?.grant.cpu} CPUs, ${state?.used?.memory} of ${state?.grant.memory}`,
          },
    );
  }
  for (const peering of incomingOf(facts)) {
    const available = findCondition(peering.status?.conditions, 'QuotaAvailable');
    const full = peering.status?.used === undefined ? [] : usedUp(peering.spec.grant, peering.status.used);
    if (full.length === 0 && available?.status !== 'False') continue;
    findings.push({
      group,
      check: 'quota',
      subject: peering.metadata.name,
      verdict: 'Bad',
      seen: `${peering.spec.remoteCluster} has used up its grant: ${full.join(', ') || (available?.message ?? '')}`,
      why,
      hint: `kubectl edit incomingpeering ${peering.metadata.name} (spec.grant)`,
    });
  }
  return findings;
};

/** `kubectl logs`, `exec` and metrics go from the API server to the virtual node's kubelet API. */
export const kubelets: Check = (facts) =>
  outgoingOf(facts).flatMap((peering): Finding[] => {
    const { nodeName } = peering.spec;
    const asked = facts.kubelets[nodeName];
    if (asked === undefined) return [];
    const about = { group, check: 'kubelet-api', subject: nodeName } as const;
    if (asked.status === 200)
      return [
        { ...about, verdict: 'Good', seen: `the API server reaches the kubelet API of node ${nodeName}` },
      ];
    if (asked.status === 401 || asked.status === 403)
      return [
        {
          ...about,
          verdict: 'Unknown',
          seen: `whether the kubelet API of ${nodeName} is reached was not seen: ${asked.message}`,
        },
      ];
    if (asked.status === 404)
      return [
        {
          ...about,
          verdict: 'Bad',
          seen: `node ${nodeName} is not there`,
          why: 'nothing can be scheduled to the provider',
          hint: `hawser status ${peering.metadata.name}`,
        },
      ];
    return [
      {
        ...about,
        verdict: 'Bad',
        seen: `the API server does not reach the kubelet API of node ${nodeName}: ${asked.message}`,
        why: 'logs, exec, attach, port-forward and metrics of offloaded pods fail; the pods run',
        hint: `let the API server reach port 10250 of the controller’s pod: kubectl get pods -n ${facts.namespace} -l app.kubernetes.io/component=controller -o wide`,
      },
    ];
  });

export const names: Check = (facts) => {
  const finding = (subject: string, seen: string, unknown: boolean): Finding => ({
    group,
    check: 'twin-dns',
    subject,
    verdict: unknown ? 'Unknown' : 'Bad',
    seen,
    why: 'programs in offloaded pods that look up a name fail',
    hint: 'at the provider: kubectl get endpointslices -n kube-system -l kubernetes.io/service-name=kube-dns',
  });
  return [
    ...outgoingOf(facts).flatMap((peering) => {
      const said = peering.status?.provider?.state?.problems.find(({ type }) => type === 'NamesResolvable');
      return said === undefined
        ? []
        : [
            finding(
              peering.metadata.name,
              `${peering.spec.remoteCluster} says: ${said.message}`,
              said.message.includes('not known'),
            ),
          ];
    }),
    ...incomingOf(facts).flatMap((peering) => {
      const condition = findCondition(peering.status?.conditions, 'NamesResolvable');
      return condition === undefined || condition.status === 'True'
        ? []
        : [finding(peering.metadata.name, condition.message, condition.status === 'Unknown')];
    }),
  ];
};

/** Of these the other checks speak. */
const spokenOf: ReadonlySet<string> = new Set(['QuotaAvailable', 'NamesResolvable']);

/** The rest of what the provider says is wrong on its side. */
export const providersWord: Check = (facts) =>
  outgoingOf(facts).flatMap((peering) =>
    (peering.status?.provider?.state?.problems ?? [])
      .filter(({ type }) => !spokenOf.has(type))
      .map(({ type, message }): Finding => ({
        group,
        check: 'provider-says',
        subject: peering.metadata.name,
        verdict: type === 'TenantReady' || type === 'Revoked' ? 'Bad' : 'Warning',
        seen: `${peering.spec.remoteCluster} says: ${message}`,
        why: 'it is on the provider’s side, and can be mended there',
        hint: 'at the provider: hawser doctor',
      })),
  );

export const virtualNodes: Check = (facts) =>
  outgoingOf(facts).map((peering): Finding => {
    const condition = findCondition(peering.status?.conditions, 'NodeReady');
    const about = { group, check: 'virtual-node', subject: peering.spec.nodeName } as const;
    if (condition?.status === 'True') return { ...about, verdict: 'Good', seen: condition.message };
    return {
      ...about,
      verdict: 'Bad',
      seen: condition?.message ?? `there is no node ${peering.spec.nodeName} yet`,
      why: 'nothing is scheduled to a node that is not Ready',
      hint: `what it waits for stands above; kubectl describe node ${peering.spec.nodeName}`,
    };
  });

export const namespaces: Check = ({ objects, only }) =>
  objects.offloadings.flatMap(({ metadata, status }) =>
    (status?.remotes ?? [])
      .filter(({ peering }) => only === undefined || peering === only)
      .flatMap(({ peering, conditions }) =>
        (conditions ?? [])
          .filter(({ status: value }) => value === 'False')
          .map(({ message }): Finding => ({
            group,
            check: 'twin',
            subject: metadata.namespace ?? '',
            verdict: 'Bad',
            seen: `namespace ${metadata.namespace} has no usable twin at ${peering}: ${message}`,
            why: 'its pods are not offloaded there',
            hint: `kubectl describe namespaceoffloading offloading -n ${metadata.namespace}`,
          })),
      ),
  );

/** Policies that a person wrote and that hold for less than what was meant. */
export const networkPolicies: Check = ({ objects, only }) =>
  objects.offloadings.flatMap(({ metadata, status }): Finding[] => {
    const condition = findCondition(status?.conditions, 'NetworkPoliciesHold');
    const about = (status?.remotes ?? []).some(({ peering }) => only === undefined || peering === only);
    if (condition?.status !== 'False' || !about) return [];
    return [
      {
        group,
        check: 'network-policies',
        subject: metadata.namespace ?? '',
        verdict: 'Warning',
        seen: condition.message,
        why: 'what the policies of this namespace forbid is not forbidden everywhere',
        hint: `kubectl get networkpolicies -n ${metadata.namespace}; keep what must be closed at home: kubectl edit namespaceoffloading offloading -n ${metadata.namespace}`,
      },
    ];
  });
