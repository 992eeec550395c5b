/** Which address ranges this cluster uses: from the spec, from the configuration of components, or from what is observed. Pure. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import {
  addressNumber,
  anyContains,
  contains,
  formatAddress,
  overlaps,
  parseRange,
  readRanges,
  tryParseRange,
  type Range,
} from '../../shared/net/cidr.ts';
import { coarsen, tidy } from '../../shared/net/coarse-ranges.ts';
import { chooseExternalCIDR } from '../../shared/net/external-cidr.ts';
import { metadataRanges } from '../../shared/net/metadata.ts';
import { labels } from '../../shared/names.ts';
import type { Node, Pod, ServiceCIDR } from '../../shared/kube/types.ts';

/** What is observed of a cluster. */
export interface Observed {
  nodes: readonly Node[];
  serviceCIDRs: readonly ServiceCIDR[];
  /** Text of kubeadm's ClusterConfiguration, if there is one. */
  kubeadm: string | undefined;
  /** kube-proxy's configuration, if it is a ConfigMap. */
  kubeProxy: string | undefined;
  /** Pods of the control plane, where they are pods. */
  controlPlane: readonly Pod[];
  /** Addresses that running pods of the pod network have; some of them suffice. */
  podAddresses?: readonly string[];
}

export interface Ranges {
  podCIDRs: string[];
  serviceCIDRs: string[];
  nodeCIDRs: string[];
  /** Source of the pod ranges, for messages. */
  podSource: string;
  /** Whether the pod ranges are a guess that a person should check. */
  guessed: boolean;
  /** Addresses of pods that lie in none of the pod ranges. */
  podsOutside: string[];
}

/** Node networks are declared as blocks of this size: addresses near nodes are probably in use too. */
const nodeBlock = { 4: 24, 6: 64 } as const;
/** kube-controller-manager allocates nodes' ranges from a larger one; these are its usual sizes. */
const clusterBlock = { 4: 16, 6: 56 } as const;
const mostBlocks = 64;

/** Values of a flag such as `--cluster-cidr` in the commands of pods, comma-separated. */
export function flagValues(pods: readonly Pod[], flag: string): string[] {
  const words = pods.flatMap((pod) =>
    (pod.spec?.containers ?? []).flatMap((container) => [
      ...((container['command'] as string[] | undefined) ?? []),
      ...((container['args'] as string[] | undefined) ?? []),
    ]),
  );
  return words.flatMap((word, index) => {
    if (word.startsWith(`${flag}=`)) return word.slice(flag.length + 1).split(',');
    return word === flag ? (words[index + 1]?.split(',') ?? []) : [];
  });
}

/** Values of a scalar in a simple YAML document, comma-separated: kubeadm and kube-proxy write them that way. */
export function yamlValues(document: string | undefined, key: string): string[] {
  const match = new RegExp(`^[ \\t]*${key}:[ \\t]*"?([^"\\n#]+)"?`, 'm').exec(document ?? '');
  return match?.[1] === undefined ? [] : match[1].split(',');
}

/** The block with this prefix length around an address or range. */
function blockAround(range: Range, length: number): string {
  if (range.length <= length) return range.text;
  const bits = BigInt((range.family === 4 ? 32 : 128) - length);
  return `${formatAddress((range.start >> bits) << bits, range.family)}/${length}`;
}

const isVirtual = (node: Node): boolean => node.metadata.labels?.[labels.virtualNode] === 'true';

/** Determines all ranges. `held`: the previous status, so that a guess stays the same while it still fits. */
export function detectRanges(
  spec: LocalCluster['spec'],
  observed: Observed,
  held: NonNullable<LocalCluster['status']> | undefined,
): Ranges {
  const nodes = observed.nodes.filter((node) => !isVirtual(node));
  const { podCIDRs, podSource, guessed } = detectPods(spec, observed, nodes, held);
  const declared = readRanges(podCIDRs);
  const podsOutside = (observed.podAddresses ?? []).filter((address) => !anyContains(declared, address));
  const serviceCIDRs = spec.serviceCIDRs?.length
    ? tidy(spec.serviceCIDRs)
    : firstNonEmpty(
        tidy(observed.serviceCIDRs.flatMap((each) => each.spec?.cidrs ?? [])),
        tidy(yamlValues(observed.kubeadm, 'serviceSubnet')),
        tidy(flagValues(observed.controlPlane, '--service-cluster-ip-range')),
      );
  return {
    podCIDRs,
    serviceCIDRs,
    nodeCIDRs: detectNodes(spec, nodes, [...podCIDRs, ...serviceCIDRs]),
    podSource,
    guessed,
    podsOutside,
  };
}

function firstNonEmpty(...candidates: readonly string[][]): string[] {
  return candidates.find((candidate) => candidate.length > 0) ?? [];
}

function detectPods(
  spec: LocalCluster['spec'],
  observed: Observed,
  nodes: readonly Node[],
  held: LocalCluster['status'],
): { podCIDRs: string[]; podSource: string; guessed: boolean } {
  const sources: [string[], string][] = [
    [spec.podCIDRs ?? [], 'spec.podCIDRs'],
    [yamlValues(observed.kubeadm, 'podSubnet'), 'kubeadm’s ClusterConfiguration'],
    [flagValues(observed.controlPlane, '--cluster-cidr'), 'kube-controller-manager’s flags'],
    [yamlValues(observed.kubeProxy, 'clusterCIDR'), 'kube-proxy’s configuration'],
  ];
  for (const [texts, podSource] of sources) {
    const podCIDRs = tidy(texts);
    // A configured range without any pod in it is not the pod range: the CNI manages addresses independently.
    if (podCIDRs.length > 0 && (podSource === 'spec.podCIDRs' || !refuted(podCIDRs, observed)))
      return { podCIDRs, podSource, guessed: false };
  }
  const ofNodes = nodes.flatMap(
    (node) => node.spec?.podCIDRs ?? (node.spec?.podCIDR ? [node.spec.podCIDR] : []),
  );
  const byPods = ofNodes.length === 0 || refuted(ofNodes, observed);
  const pieces = (byPods ? (observed.podAddresses ?? []) : ofNodes).flatMap(
    (text) => tryParseRange(text) ?? [],
  );
  const podSource = byPods
    ? 'the addresses of running pods, widened to the usual size'
    : 'the ranges of the nodes (node.spec.podCIDRs), widened to the usual size';
  if (pieces.length === 0) return { podCIDRs: [], podSource, guessed: true };
  // A declared range stays while it contains all nodes: an additional node must not change addresses.
  const before = (held?.podCIDRs ?? []).flatMap((text) => tryParseRange(text) ?? []);
  if (before.length > 0 && pieces.every((piece) => before.some((range) => contains(range, piece)))) {
    return { podCIDRs: before.map((range) => range.text), podSource, guessed: true };
  }
  const wide = tidy(pieces.map((piece) => blockAround(piece, clusterBlock[piece.family])));
  const others = observed.serviceCIDRs
    .flatMap((each) => each.spec?.cidrs ?? [])
    .flatMap((text) => tryParseRange(text) ?? []);
  const addresses = nodes.flatMap(internalAddresses);
  const fits = wide
    .map((text) => parseRange(text))
    .every(
      (range) =>
        !others.some((other) => overlaps(other, range)) &&
        !addresses.some((each) => anyContains([range], each)),
    );
  return {
    podCIDRs: fits ? wide : tidy(pieces.map((piece) => piece.text)).slice(0, 16),
    podSource,
    guessed: true,
  };
}

/** Whether pods were seen, and none of them has an address in the ranges. */
function refuted(podCIDRs: readonly string[], { podAddresses = [] }: Observed): boolean {
  const ranges = readRanges(podCIDRs);
  return podAddresses.length > 0 && !podAddresses.some((address) => anyContains(ranges, address));
}

const internalAddresses = (node: Node): string[] =>
  (node.status?.addresses ?? []).filter(({ type }) => type === 'InternalIP').map(({ address }) => address);

function detectNodes(
  spec: LocalCluster['spec'],
  nodes: readonly Node[],
  others: readonly string[],
): string[] {
  if (spec.nodeCIDRs?.length) return tidy(spec.nodeCIDRs);
  const used = others.flatMap((text) => tryParseRange(text) ?? []);
  const blocks = nodes.flatMap(internalAddresses).flatMap((address) => {
    const range = tryParseRange(address);
    if (range === undefined) return [];
    const block = blockAround(range, nodeBlock[range.family]);
    // Where the block would overlap pods or Services, only the node's own address is used.
    return used.some((other) => overlaps(other, parseRange(block))) ? [range.text] : [block];
  });
  // Larger blocks if there are too many: a node left out would be reachable for consumers' pods, and a remap could cover it.
  return coarsen(blocks, mostBlocks).sort();
}

/**
 * The external CIDR: configured, kept while nothing overlaps it, or newly chosen. Throws when none is free.
 *
 * @param others ranges that a new choice avoids but for which an old one does not move: remaps of remotes, routes of nodes
 */
export function externalRange(
  spec: LocalCluster['spec'],
  held: string | undefined,
  clusterID: string,
  ranges: Ranges,
  others: readonly string[] = [],
): string {
  if (spec.externalCIDR !== undefined) return parseRange(spec.externalCIDR).text;
  const used = [
    ...ranges.podCIDRs,
    ...ranges.serviceCIDRs,
    ...ranges.nodeCIDRs,
    ...(spec.reservedCIDRs ?? []),
  ];
  const parsed = used.flatMap((text) => tryParseRange(text) ?? []);
  const before = held === undefined ? undefined : tryParseRange(held);
  if (before !== undefined && !parsed.some((range) => overlaps(range, before))) return before.text;
  return chooseExternalCIDR(clusterID, [...used, ...metadataRanges.map(({ text }) => text), ...others]);
}

/** Contradictions, one sentence each. */
export function inconsistencies(ranges: Ranges, externalCIDR: string | undefined): string[] {
  const named: [string, string][] = [
    ...ranges.podCIDRs.map((text): [string, string] => ['pods', text]),
    ...ranges.serviceCIDRs.map((text): [string, string] => ['Services', text]),
    ...(externalCIDR === undefined ? [] : [['external addresses', externalCIDR] as [string, string]]),
  ];
  const parsed = named.flatMap(([what, text]) => {
    const range = tryParseRange(text);
    return range === undefined ? [] : [{ what, range }];
  });
  return parsed.flatMap((one, index) =>
    parsed
      .slice(index + 1)
      .filter((other) => other.what !== one.what && overlaps(one.range, other.range))
      .map((other) => `${one.range.text} (${one.what}) overlaps ${other.range.text} (${other.what})`),
  );
}

/** host:port, with brackets around an IPv6 address. */
export function hostPort(host: string, port: number): string {
  try {
    return addressNumber(host).family === 6 ? `[${host}]:${port}` : `${host}:${port}`;
  } catch {
    return `${host}:${port}`;
  }
}
