/** Which node holds which tunnel endpoint, and which address each node has. Pure. */
import type { FabricNode } from '../../../shared/api/network.ts';
import { labels } from '../../../shared/names.ts';
import { allocateNodeAddresses } from '../../../shared/net/external-cidr.ts';
import type { Node } from '../../kube/index.ts';

/** Tunnel endpoints of a cluster. */
export const endpointNames: readonly string[] = ['0'];

export interface NodeAssignment {
  name: string;
  uid: string;
  spec: FabricNode['spec'];
}

const isVirtual = (node: Node) => node.metadata.labels?.[labels.virtualNode] === 'true';
const isLabelled = (node: Node) => node.metadata.labels?.[labels.gatewayNode] === 'true';
const isReady = (node: Node) =>
  node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;

/** The address by which the cluster's other nodes reach it. */
export function internalAddress(node: Node): string | undefined {
  return node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
}

/** Nodes that can take part in the fabric. */
export function fabricMembers(nodes: readonly Node[]): Node[] {
  return nodes.filter(
    (node) => !isVirtual(node) && (node.metadata.labels?.['kubernetes.io/os'] ?? 'linux') === 'linux',
  );
}

/**
 * Assigns addresses and tunnel endpoints. A node keeps what it has. A tunnel endpoint moves only when its holder is gone, not Ready, silent, or no
 * longer labelled, and another node can take it. If no node carries the label, any may be a gateway.
 *
 * @param silent nodes that held a tunnel endpoint and did not renew its Lease, though Kubernetes may still call them Ready
 */
export function assignNodes(
  nodes: readonly Node[],
  present: readonly FabricNode[],
  externalCIDR: string | undefined,
  silent: ReadonlySet<string> = new Set(),
): NodeAssignment[] {
  const members = fabricMembers(nodes);
  const stored = new Map(
    present.flatMap(({ metadata, spec }) =>
      spec.externalAddress === undefined ? [] : [[metadata.name, spec.externalAddress] as const],
    ),
  );
  const addresses =
    externalCIDR === undefined
      ? new Map<string, string>()
      : allocateNodeAddresses(
          externalCIDR,
          members.map(({ metadata }) => metadata.name),
          stored,
        );

  const labelled = members.filter(isLabelled);
  const candidates = (labelled.length > 0 ? labelled : members)
    .filter((node) => internalAddress(node) !== undefined && node.metadata.deletionTimestamp === undefined)
    .sort((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1));
  const holders = new Map<string, string>();
  const taken = new Set<string>();
  for (const tunnelEndpoint of endpointNames) {
    const held = present.find(({ spec }) => spec.tunnelEndpoint === tunnelEndpoint)?.metadata.name;
    const free = candidates.filter(({ metadata }) => !taken.has(metadata.name));
    const isHolder = ({ metadata }: Node) => metadata.name === held;
    const isHeard = (node: Node) => isReady(node) && !silent.has(node.metadata.name);
    const holder =
      free.find((node) => isHolder(node) && isHeard(node)) ??
      free.find(isHeard) ??
      free.find((node) => isHolder(node) && isReady(node)) ??
      free.find(isReady) ??
      free.find(isHolder) ??
      free[0];
    if (holder === undefined) continue;
    taken.add(holder.metadata.name);
    holders.set(holder.metadata.name, tunnelEndpoint);
  }
  return members.map(({ metadata }) => {
    const externalAddress = addresses.get(metadata.name);
    const tunnelEndpoint = holders.get(metadata.name);
    return {
      name: metadata.name,
      uid: metadata.uid ?? '',
      spec: {
        ...(externalAddress !== undefined && { externalAddress }),
        ...(tunnelEndpoint !== undefined && { tunnelEndpoint }),
      },
    };
  });
}
