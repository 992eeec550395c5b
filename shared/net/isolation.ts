/**
 * What a consumer's pods here may reach, and who may reach them. Decided once; a NetworkPolicy in each twin says it to the
 * network plugin, and every node's own rules hold it where the plugin enforces no policies.
 */
import { contains, overlaps, without, type Range } from './cidr.ts';
import { metadataRanges } from './metadata.ts';

/** What of this cluster the decision follows from: the status of its LocalCluster. */
export interface IsolationFacts {
  podCIDRs: readonly Range[];
  serviceCIDRs: readonly Range[];
  nodeCIDRs: readonly Range[];
  externalCIDR?: Range | undefined;
  apiServerAddresses: readonly Range[];
}

/** Categories of refused destinations, as counted. */
export type Forbidden = 'Metadata' | 'APIServer' | 'Node' | 'Cluster';

/** Pods of the cluster's DNS, and its port (Kubernetes, DNS-Based Service Discovery): every pod may ask them. */
export const clusterDNS = { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' }, port: 53 } as const;

/**
 * Where the pods of no consumer may go, by what is there; an address in several is of the first. Beyond its own pods, here
 * and at home, and DNS, a consumer's pod reaches only what is not named here: the world.
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

/** A block of addresses without some of it, as a NetworkPolicy writes it. */
export interface Block {
  cidr: string;
  except: readonly string[];
}

/**
 * The consumer's own ranges, as this cluster knows them: its pods reach them, and are reached from there. What is forbidden
 * stays forbidden, whatever the consumer declared before something of this cluster came to lie there; and nothing is open
 * of a range that drains.
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
