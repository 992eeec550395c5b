/**
 * The parts of a testbed, computed from the request: names, addresses, directories. No I/O.
 *
 *   root namespace ── wide area (bridge) ──┬── edge of c1 ── LAN ──┬── control plane
 *                                          │                       ├── node c1-n1
 *                                          │                       └── node c1-n2
 *                                          └── edge of c2 ── LAN (same addresses) ── …
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

export interface ClusterRequest {
  name: string;
  nodes?: number;
  podCIDR?: string;
  serviceCIDR?: string;
  /** The range of the cluster's own LAN: edge, control plane and nodes. A /24. */
  nodeCIDR?: string;
}

export interface BedRequest {
  name: string;
  /** A number, or names, or complete requests. Default: 2. */
  clusters?: number | readonly (string | ClusterRequest)[];
  /** Nodes of each cluster that does not set it. Default: 2. */
  nodes?: number;
  podCIDR?: string;
  serviceCIDR?: string;
  nodeCIDR?: string;
  /** Enforces network policies with kube-router's firewall on each node. Default: no. */
  policies?: boolean;
}

export interface NodePlan {
  name: string;
  netns: string;
  /** On the cluster's LAN. */
  address: string;
  podCIDR: string;
  directory: string;
  /** The edge's LAN bridge port of this node. */
  edgePort: string;
}

export interface ClusterPlan {
  name: string;
  directory: string;
  edgeNetns: string;
  controlPlaneNetns: string;
  podCIDR: string;
  serviceCIDR: string;
  nodeCIDR: string;
  /** The first and the tenth address of the Service range, as usual. */
  kubernetesServiceAddress: string;
  dnsServiceAddress: string;
  edgeAddress: string;
  controlPlaneAddress: string;
  /** The cluster's public address. */
  wideAreaAddress: string;
  /** Another address that a NAT may use. */
  secondWideAreaAddress: string;
  /** Addresses for its Services of type LoadBalancer. */
  loadBalancerPool: string[];
  /** Name of its port on the wide area's bridge. */
  wideAreaPort: string;
  nodes: NodePlan[];
  policies: boolean;
}

export interface BedPlan {
  name: string;
  directory: string;
  wideAreaNetns: string;
  /** The testbed's only link in the root namespace. */
  hostLink: string;
  hostAddress: string;
  /** A /24 of 198.18.0.0/15, which RFC 2544 reserves for network benchmarks. */
  wideAreaCIDR: string;
  clusters: ClusterPlan[];
}

/** The number of /24s in 198.18.0.0/15. */
export const wideAreaCount = 512;
export const apiServerPort = 6443;
const maximumClusters = 12;
const maximumNodes = 32;
/** Addresses that each cluster may give to its Services. */
const poolSize = 16;
const namePattern = /^[a-z][a-z0-9-]{0,15}$/;
const clusterNamePattern = /^[a-z][a-z0-9-]{0,15}$/;

export class PlanError extends Error {
  override name = 'PlanError';
}

/** Validates a testbed's name, which becomes part of names of namespaces and directories. */
export function checkName(name: string): string {
  if (namePattern.test(name)) return name;
  throw new PlanError(`"${name}" cannot name a bed: use 1 to 16 of a–z, 0–9 and -, beginning with a letter`);
}

/** Where the search for a free wide-area range starts: the same name gets the same range, if it is free. */
export function preferredWideArea(name: string): number {
  return createHash('sha256').update(name).digest().readUInt16BE(0) % wideAreaCount;
}

/** Common prefix of the names of a testbed's namespaces. */
export function namespacePrefix(bedName: string): string {
  return `hawser.${bedName}.`;
}

export function hostLinkName(bedName: string): string {
  return `hwb${createHash('sha256').update(bedName).digest('hex').slice(0, 10)}`;
}

function bytesOf(address: string): [number, number, number, number] {
  const parts = address.split('.').map(Number);
  const [a, b, c, d] = parts;
  if (parts.length !== 4 || a === undefined || b === undefined || c === undefined || d === undefined) {
    throw new PlanError(`${address} is not an IPv4 address`);
  }
  if (parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) {
    throw new PlanError(`${address} is not an IPv4 address`);
  }
  return [a, b, c, d];
}

/** The address at an offset from the first one of an IPv4 range. */
export function addressIn(cidr: string, offset: number): string {
  const { base, length } = parseCIDR(cidr);
  if (offset >= 2 ** (32 - length)) throw new PlanError(`${cidr} has no address number ${offset}`);
  const value = base + offset;
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');
}

function parseCIDR(cidr: string): { base: number; length: number } {
  const [address = '', lengthText = ''] = cidr.split('/');
  const length = Number(lengthText);
  if (lengthText === '' || !Number.isInteger(length) || length < 8 || length > 30) {
    throw new PlanError(`${cidr} is not an IPv4 range such as 10.244.0.0/16`);
  }
  const [a, b, c, d] = bytesOf(address);
  const base = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
  if (base % 2 ** (32 - length) !== 0)
    throw new PlanError(`${cidr} does not begin at a multiple of its size`);
  return { base, length };
}

function checkLength(cidr: string, least: number, most: number, what: string): string {
  const { length } = parseCIDR(cidr);
  if (length < least || length > most)
    throw new PlanError(`${what} ${cidr} must be between /${least} and /${most}`);
  return cidr;
}

/** The plan of a testbed. `wideArea` counts the /24s of 198.18.0.0/15. Throws `PlanError` for an impossible request. */
export function planBed(request: BedRequest, wideArea: number, baseDirectory: string): BedPlan {
  const name = checkName(request.name);
  const directory = join(baseDirectory, name);
  const wideAreaCIDR = `198.${18 + (wideArea >> 8)}.${wideArea & 255}.0/24`;
  const requests = clusterRequests(request);
  const clusters = requests.map((cluster, index) =>
    planCluster(request, cluster, index, name, directory, wideAreaCIDR),
  );
  return {
    name,
    directory,
    wideAreaNetns: `${namespacePrefix(name)}wan`,
    hostLink: hostLinkName(name),
    hostAddress: addressIn(wideAreaCIDR, 1),
    wideAreaCIDR,
    clusters,
  };
}

function clusterRequests(request: BedRequest): ClusterRequest[] {
  const asked = request.clusters ?? 2;
  const clusters: ClusterRequest[] =
    typeof asked === 'number'
      ? Array.from({ length: asked }, (_, index) => ({ name: `c${index + 1}` }))
      : asked.map((cluster) => (typeof cluster === 'string' ? { name: cluster } : cluster));
  if (clusters.length < 1 || clusters.length > maximumClusters) {
    throw new PlanError(`${clusters.length} clusters: a bed has 1 to ${maximumClusters}`);
  }
  for (const [index, { name }] of clusters.entries()) {
    if (!clusterNamePattern.test(name) || name === 'wan')
      throw new PlanError(`"${name}" cannot name a cluster`);
    if (clusters.findIndex((other) => other.name === name) !== index) {
      throw new PlanError(`two clusters are named ${name}`);
    }
  }
  return clusters;
}

function planCluster(
  bed: BedRequest,
  request: ClusterRequest,
  index: number,
  bedName: string,
  bedDirectory: string,
  wideAreaCIDR: string,
): ClusterPlan {
  const nodeCount = request.nodes ?? bed.nodes ?? 2;
  if (!Number.isInteger(nodeCount) || nodeCount < 1 || nodeCount > maximumNodes) {
    throw new PlanError(`${nodeCount} nodes: a cluster has 1 to ${maximumNodes}`);
  }
  const podCIDR = checkLength(request.podCIDR ?? bed.podCIDR ?? '10.244.0.0/16', 8, 18, 'pod range');
  const serviceCIDR = checkLength(
    request.serviceCIDR ?? bed.serviceCIDR ?? '10.96.0.0/16',
    12,
    24,
    'Service range',
  );
  const nodeCIDR = checkLength(request.nodeCIDR ?? bed.nodeCIDR ?? '172.18.0.0/24', 24, 24, 'node range');
  const prefix = `${namespacePrefix(bedName)}${request.name}`;
  const directory = join(bedDirectory, request.name);
  return {
    name: request.name,
    directory,
    edgeNetns: prefix,
    controlPlaneNetns: `${prefix}.control-plane`,
    podCIDR,
    serviceCIDR,
    nodeCIDR,
    kubernetesServiceAddress: addressIn(serviceCIDR, 1),
    dnsServiceAddress: addressIn(serviceCIDR, 10),
    edgeAddress: addressIn(nodeCIDR, 1),
    controlPlaneAddress: addressIn(nodeCIDR, 2),
    wideAreaAddress: addressIn(wideAreaCIDR, 10 + index),
    // Beyond the pools, whose addresses change with Services.
    secondWideAreaAddress: addressIn(wideAreaCIDR, 240 + index),
    loadBalancerPool: Array.from({ length: poolSize }, (_, each) =>
      addressIn(wideAreaCIDR, 32 + poolSize * index + each),
    ),
    wideAreaPort: `c${index + 1}`,
    policies: bed.policies ?? false,
    nodes: Array.from({ length: nodeCount }, (_, each) => ({
      name: `${request.name}-n${each + 1}`,
      netns: `${prefix}.n${each + 1}`,
      address: addressIn(nodeCIDR, 11 + each),
      // The first /24 stays free, so that no node's range equals the cluster's own prefix.
      podCIDR: `${addressIn(podCIDR, 256 * (each + 1))}/24`,
      directory: join(directory, `n${each + 1}`),
      edgePort: `n${each + 1}`,
    })),
  };
}

/** Why an existing testbed differs from the requested one; undefined if it doesn't. */
export function differenceOf(existing: BedPlan, wanted: BedPlan): string | undefined {
  const have = existing.clusters.map(({ name }) => name).join(', ');
  const want = wanted.clusters.map(({ name }) => name).join(', ');
  if (have !== want) return `it has the clusters ${have}, not ${want}`;
  for (const [index, cluster] of existing.clusters.entries()) {
    const other = wanted.clusters[index];
    if (other === undefined) continue;
    if (cluster.nodes.length !== other.nodes.length) {
      return `cluster ${cluster.name} has ${cluster.nodes.length} nodes, not ${other.nodes.length}`;
    }
    if (cluster.policies !== other.policies) {
      return `cluster ${cluster.name} enforces ${cluster.policies ? '' : 'no '}network policies`;
    }
    for (const range of ['podCIDR', 'serviceCIDR', 'nodeCIDR'] as const) {
      if (cluster[range] !== other[range]) {
        return `cluster ${cluster.name} has ${range} ${cluster[range]}, not ${other[range]}`;
      }
    }
  }
  return undefined;
}
