/**
 * Destinations that a consumer's pods here may reach, and sources that may reach them. Decided here once; a NetworkPolicy in
 * each twin namespace declares it to the network plugin, and every node's own rules enforce it where the plugin enforces no
 * policies.
 */
import { contains, overlaps, without, type Range } from './cidr.ts';
import { metadataRanges } from './metadata.ts';

/** The facts for the decision, from the status of the LocalCluster. */
export interface IsolationFacts {
  podCIDRs: readonly Range[];
  serviceCIDRs: readonly Range[];
  nodeCIDRs: readonly Range[];
  externalCIDR?: Range | undefined;
  apiServerAddresses: readonly Range[];
}

/** Categories of refused destinations, as counted. */
export type Forbidden = 'Metadata' | 'APIServer' | 'Node' | 'Cluster';

/** Pods of the cluster's DNS, and its port (Kubernetes, DNS-Based Service Discovery): every pod may reach them. */
export const clusterDNS = { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' }, port: 53 } as const;

/**
 * The ranges that no consumer's pods may reach, by category; an address in several ranges has the first category. Apart from
 * these, a consumer's pod reaches its own pods, here and at home, DNS, and the world outside.
 */
export function forbiddenRanges(facts: IsolationFacts): { what: Forbidden; ranges: readonly Range[] }[] {
  const { podCIDRs, serviceCIDRs, nodeCIDRs, externalCIDR, apiServerAddresses } = facts;
  return [
    { what: 'Metadata', ranges: metadataRanges },
    { what: 'APIServer', ranges: apiServerAddresses },
    { what: 'Node', ranges: nodeCIDRs },
    {
      what: 'Cluster',
      ranges: [...podCIDRs, ...serviceCIDRs, ...(externalCIDR === undefined ? [] : [externalCIDR])],
    },
  ];
}

/** A block of addresses with exceptions, as in a NetworkPolicy. */
export interface Block {
  cidr: string;
  except: readonly string[];
}

/**
 * The consumer's own ranges, as this cluster knows them: its pods can reach them, and can be reached from there. Forbidden
 * ranges stay forbidden even if they appeared after the consumer's declaration; draining ranges are not open.
 */
export function homeBlocks(
  remaps: readonly { mapped: Range; state: string }[],
  forbidden: readonly Range[],
): Block[] {
  return homesOf(remaps)
    .filter((range) => !forbidden.some((each) => contains(each, range)))
    .map((range) => ({
      cidr: range.text,
      except: forbidden.filter((each) => overlaps(each, range)).map(({ text }) => text),
    }));
}

/** The same as plain ranges. */
export function homeRanges(
  remaps: readonly { mapped: Range; state: string }[],
  forbidden: readonly Range[],
): Range[] {
  return homesOf(remaps).flatMap((range) => without(range, forbidden));
}

const homesOf = (remaps: readonly { mapped: Range; state: string }[]): Range[] =>
  remaps.flatMap(({ mapped, state }) => (state === 'InUse' ? [mapped] : []));
