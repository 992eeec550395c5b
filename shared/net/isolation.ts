/**
 * What a consumer's pods here may reach, and who may reach them. Decided once; a NetworkPolicy in each twin says it to the
 * network plugin, and every node's own rules hold it where the plugin enforces no policies.
 */
import { hostRange } from './cidr.ts';

/** What of this cluster the decision follows from: the status of its LocalCluster. */
export interface IsolationFacts {
  podCIDRs?: readonly string[] | undefined;
  serviceCIDRs?: readonly string[] | undefined;
  nodeCIDRs?: readonly string[] | undefined;
  externalCIDR?: string | undefined;
  apiServerAddresses?: readonly string[] | undefined;
}

/** What is refused, as it is counted. */
export type Forbidden = 'Metadata' | 'APIServer' | 'Node' | 'Cluster';

/**
 * Cloud metadata services answer at link-local addresses (RFC 3927, RFC 4291), and at some that are not: Azure's
 * 168.63.129.16, Oracle's 192.0.0.192, Alibaba's 100.100.100.200, AWS's fd00:ec2::/32.
 */
export const metadataRanges: readonly string[] = [
  '169.254.0.0/16',
  '168.63.129.16/32',
  '192.0.0.192/32',
  '100.100.100.200/32',
  'fe80::/10',
  'fd00:ec2::/32',
];

/** Pods of the cluster's DNS, and its port (Kubernetes, DNS-Based Service Discovery): every pod may ask them. */
export const clusterDNS = { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' }, port: 53 } as const;

/**
 * Where the pods of no consumer may go, by what is there; an address in several is of the first. Beyond its own pods, here
 * and at home, and DNS, a consumer's pod reaches only what is not named here: the world.
 */
export function forbiddenRanges(facts: IsolationFacts): { what: Forbidden; ranges: readonly string[] }[] {
  const { podCIDRs = [], serviceCIDRs = [], nodeCIDRs = [], externalCIDR, apiServerAddresses = [] } = facts;
  return [
    { what: 'Metadata', ranges: metadataRanges },
    { what: 'APIServer', ranges: apiServerAddresses.map(hostRange) },
    { what: 'Node', ranges: nodeCIDRs },
    {
      what: 'Cluster',
      ranges: [...podCIDRs, ...serviceCIDRs, ...(externalCIDR === undefined ? [] : [externalCIDR])],
    },
  ];
}

/** The consumer's own ranges, as this cluster knows them: its pods reach them, and are reached from there. */
export function homeRanges(remaps: readonly { mapped: string }[]): string[] {
  return remaps.map(({ mapped }) => mapped);
}
