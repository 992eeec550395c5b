/** What keeps a consumer's pods here apart from all that is not the consumer's. Pure. */
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

/** What the ranges of a policy are judged by. */
export interface PolicyNetwork {
  local: Pick<LocalCluster, 'status'> | undefined;
  tunnel: Tunnel | undefined;
}

/** Where the pods of no consumer may go. */
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

/** Twins of one consumer: nobody but the provider gives a namespace the label. */
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
 * Consumer's pods ↔ this consumer's pods here and at home; out: DNS and the world, but nothing of this cluster. Behind
 * the engine's admission, for traffic that never enters a tunnel; what a node holds by itself (`fabric/plan/isolation-plan.ts`)
 * follows from the same ranges.
 *
 * Policies add up. The first closes everything for every pod; the other two open what is open by default, and only for
 * pods that no policy of the consumer selects in that direction: for those the consumer's own policies open what they
 * open, of the same and no more (`carried-policies.ts`).
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
