/** NetworkPolicies that isolate a consumer's pods from everything that is not the consumer's. Pure. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import type { TwinNamespace } from '../../shared/api/offloading.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { labels as known } from '../../shared/names.ts';
import { readHosts, readRanges, tryParseRange, type Range } from '../../shared/net/cidr.ts';
import { clusterDNS, forbiddenRanges, homeBlocks, type Block } from '../../shared/net/isolation.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { NetworkPolicy } from '../../shared/kube/types.ts';
import { networkPolicyNames, twinLabels } from './names.ts';
import { restrictedLabels } from './pod-labels.ts';

/** The ranges by which a policy's rules are restricted. */
export interface PolicyNetwork {
  local: Pick<LocalCluster, 'status'> | undefined;
  tunnel: Tunnel | undefined;
}

/** Ranges that no consumer's pods may reach. */
export function closedRanges({ local }: Pick<PolicyNetwork, 'local'>): Range[] {
  const { podCIDRs, serviceCIDRs, nodeCIDRs, externalCIDR, apiServerAddresses } = local?.status ?? {};
  const forbidden = forbiddenRanges({
    podCIDRs: readRanges(podCIDRs ?? []),
    serviceCIDRs: readRanges(serviceCIDRs ?? []),
    nodeCIDRs: readRanges(nodeCIDRs ?? []),
    externalCIDR: externalCIDR === undefined ? undefined : tryParseRange(externalCIDR),
    apiServerAddresses: readHosts(apiServerAddresses ?? []),
  }).flatMap(({ ranges }) => ranges);
  return [...new Map(forbidden.map((range) => [range.text, range])).values()];
}

/** The same as a policy writes them. */
export const closedTexts = (network: Pick<PolicyNetwork, 'local'>): string[] =>
  closedRanges(network).map(({ text }) => text);

/** The consumer's own ranges, as this cluster knows them. */
export const blocksAtHome = (network: PolicyNetwork): Block[] =>
  homeBlocks(
    network.tunnel?.spec.remaps.flatMap(({ mapped, state }) =>
      readRanges([mapped]).map((range) => ({ mapped: range, state })),
    ) ?? [],
    closedRanges(network),
  );

/** Services at the consumer's home: no packet reaches them from here, and none is to leave this cluster for their addresses. */
export const servicesAtHome = (network: PolicyNetwork): Range[] =>
  readRanges(network.tunnel?.spec.remoteServiceCIDRs ?? []);

/** Twin namespaces of one consumer, by a label that only the provider sets. */
export const sameConsumer = (peering: IncomingPeering) => ({
  matchLabels: { [known.origin]: peering.spec.remoteCluster },
});

/** The provider's DNS. */
export const kubeDNS = {
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': clusterDNS.namespace } },
  podSelector: { matchLabels: clusterDNS.labels },
};
export const dnsPorts = ['UDP', 'TCP'].map((protocol) => ({ protocol, port: clusterDNS.port }));

/**
 * A consumer's pods ↔ the same consumer's pods here and at home; egress also to DNS and the internet, but to nothing of this
 * cluster. These policies cover traffic that never enters a tunnel, besides the engine's admission; the rules of each node
 * (`fabric/plan/isolation-plan.ts`) follow from the same ranges.
 *
 * Policies are additive. The first denies everything for every pod. The other two allow the default access, only for pods
 * that no policy of the consumer selects in that direction; for selected pods the consumer's own policies allow a part of
 * the same (`carried-policies.ts`).
 */
export function isolationPolicies(
  twin: TwinNamespace,
  peering: IncomingPeering,
  network: PolicyNetwork,
): NetworkPolicy[] {
  const tenants = { namespaceSelector: sameConsumer(peering) };
  const atHome = blocksAtHome(network).map(({ cidr, except }) => ({
    ipBlock: { cidr, ...(except.length > 0 && { except }) },
  }));
  const closed = [...new Set([...closedTexts(network), ...servicesAtHome(network).map(({ text }) => text)])];
  const caches = (family: 4 | 6) => {
    const any = family === 4 ? '0.0.0.0/0' : '::/0';
    const except = closed.filter((cidr) => cidr.includes(':') === (family === 6));
    return { ipBlock: { cidr: any, except } };
  };
  const unrestricted = (label: string) => ({
    matchExpressions: [{ key: label, operator: 'DoesNotExist' }],
  });
  const policy = (name: string, spec: NonNullable<NetworkPolicy['spec']>): NetworkPolicy => ({
    apiVersion: kind.networkPolicy.apiVersion,
    kind: kind.networkPolicy.kind,
    metadata: { name, namespace: twin.spec.namespace, labels: twinLabels(twin, peering) },
    spec,
  });
  return [
    policy(networkPolicyNames.isolation, { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }),
    policy(networkPolicyNames.ingress, {
      podSelector: unrestricted(restrictedLabels.Ingress),
      policyTypes: ['Ingress'],
      ingress: [{ from: [tenants, ...atHome] }],
    }),
    policy(networkPolicyNames.egress, {
      podSelector: unrestricted(restrictedLabels.Egress),
      policyTypes: ['Egress'],
      egress: [
        { to: [tenants, ...atHome] },
        { to: [kubeDNS], ports: dnsPorts },
        { to: [caches(4), caches(6)] },
      ],
    }),
  ];
}
