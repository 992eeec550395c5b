/** Checks of offloaded workloads: quota, virtual nodes, DNS, and the provider's report. Pure. */
import type { Grant } from '../../shared/api/grant.ts';
import { findCondition } from '../../shared/conditions.ts';
import { compareQuantities } from '../../shared/quantities.ts';
import { incomingOf, outgoingOf } from './checks-control-plane.ts';
import type { Check, Finding } from './finding.ts';

const group = 'Offloading';

/** The parts of a grant that are used up. */
function usedUp(grant: Grant, used: { cpu: string; memory: string; pods: number }): string[] {
  const counted = grant.enforcement !== 'None';
  return [
    ...(counted && compareQuantities(used.cpu, grant.cpu) >= 0 ? [`${used.cpu} of ${grant.cpu} CPUs`] : []),
    ...(counted && compareQuantities(used.memory, grant.memory) >= 0
      ? [`${used.memory} of ${grant.memory} of memory`]
      : []),
    ...(used.pods >= grant.pods ? [`${used.pods} of ${grant.pods} pods`] : []),
  ];
}

export const quota: Check = (facts) => {
  const findings: Finding[] = [];
  const why = 'new pods are refused until others end';
  for (const peering of outgoingOf(facts)) {
    const { state } = peering.status?.providerReport ?? {};
    const reported = state?.problems.find(({ type }) => type === 'QuotaAvailable');
    const full = state?.used === undefined ? [] : usedUp(state.grant, state.used);
    if (state?.used === undefined && reported === undefined) continue;
    findings.push(
      full.length > 0 || reported !== undefined
        ? {
            group,
            check: 'quota',
            subject: peering.metadata.name,
            verdict: 'Bad',
            seen: `the grant of ${peering.spec.remoteCluster} is used up: ${full.join(', ') || (reported?.message ?? '')}`,
            why,
            hint: `at the provider: kubectl edit incomingpeering (spec.grant); or delete pods here: kubectl get pods -A --field-selector spec.nodeName=${peering.spec.nodeName}`,
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

/** The API server forwards `kubectl logs`, `exec` and metrics to the virtual node's kubelet API. */
export const kubelets: Check = (facts) =>
  outgoingOf(facts).flatMap((peering): Finding[] => {
    const { nodeName } = peering.spec;
    const answer = facts.kubelets[nodeName];
    if (answer === undefined) return [];
    const about = { group, check: 'kubelet-api', subject: nodeName } as const;
    if (answer.status === 200)
      return [
        { ...about, verdict: 'Good', seen: `the API server reaches the kubelet API of node ${nodeName}` },
      ];
    if (answer.status === 401 || answer.status === 403)
      return [
        {
          ...about,
          verdict: 'Unknown',
          seen: `not checked: your user may not read the kubelet API of node ${nodeName}: ${answer.message}`,
        },
      ];
    if (answer.status === 404)
      return [
        {
          ...about,
          verdict: 'Bad',
          seen: `node ${nodeName} does not exist`,
          why: 'nothing can be scheduled to the provider',
          hint: `hawser status ${peering.metadata.name}`,
        },
      ];
    return [
      {
        ...about,
        verdict: 'Bad',
        seen: `the API server does not reach the kubelet API of node ${nodeName}: ${answer.message}`,
        why: 'logs, exec, attach, port-forward and metrics of offloaded pods fail; the pods themselves run',
        hint: `allow connections from the API server to port 10250 of the controller’s pod: kubectl get pods -n ${facts.namespace} -l app.kubernetes.io/component=controller -o wide`,
      },
    ];
  });

/** The reason of NamesResolvable where the provider has no Service for DNS, so that the check has no result. */
const unknownDNS = 'NoClusterDNS';

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
      const reported = peering.status?.providerReport?.state?.problems.find(
        ({ type }) => type === 'NamesResolvable',
      );
      return reported === undefined
        ? []
        : [
            finding(
              peering.metadata.name,
              `${peering.spec.remoteCluster} reports: ${reported.message}`,
              reported.reason === unknownDNS,
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

/** Problems that other checks report. */
const reportedElsewhere: ReadonlySet<string> = new Set(['QuotaAvailable', 'NamesResolvable']);

/** Other problems that the provider reports. */
export const providerReport: Check = (facts) =>
  outgoingOf(facts).flatMap((peering) =>
    (peering.status?.providerReport?.state?.problems ?? [])
      .filter(({ type }) => !reportedElsewhere.has(type))
      .map(({ type, message }): Finding => ({
        group,
        check: 'provider-report',
        subject: peering.metadata.name,
        verdict: type === 'TenantReady' || type === 'Revoked' ? 'Bad' : 'Warning',
        seen: `${peering.spec.remoteCluster} reports: ${message}`,
        why: 'it can only be resolved at the provider',
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
      seen: condition?.message ?? `node ${peering.spec.nodeName} does not exist yet`,
      why: 'no pods are scheduled to a node that is not Ready',
      hint: `resolve the other findings of this peering first; kubectl describe node ${peering.spec.nodeName}`,
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
            check: 'twin-namespace',
            subject: metadata.namespace ?? '',
            verdict: 'Bad',
            seen: `namespace ${metadata.namespace} has no usable twin namespace at ${peering}: ${message}`,
            why: 'its pods are not offloaded there',
            hint: `kubectl describe namespaceoffloading offloading -n ${metadata.namespace}`,
          })),
      ),
  );

/** NetworkPolicies that do not apply to all pods that they select. */
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
        why: 'connections that the policies of this namespace forbid are possible at some places',
        hint: `kubectl get networkpolicies -n ${metadata.namespace}; to keep the pods in this cluster: hawser offload namespace ${metadata.namespace} --placement Local`,
      },
    ];
  });
