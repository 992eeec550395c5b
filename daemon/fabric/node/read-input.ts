/** Converts API objects to the plain values of a node's plan. Pure. */
import type { LocalCluster } from '../../../shared/api/clusters.ts';
import type { FabricNode, AddressMapping, Tunnel } from '../../../shared/api/network.ts';
import type { TwinNamespace } from '../../../shared/api/offloading.ts';
import type { IncomingPeering, OutgoingPeering } from '../../../shared/api/peerings.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { isAuthorized } from '../../../shared/incoming-peerings.ts';
import { controllerServiceAccount, isClusterID, labels } from '../../../shared/names.ts';
import type { Namespace, Node, Pod } from '../../kube/index.ts';
import {
  readHosts,
  readRanges,
  tryParseHost,
  tryParseRange,
  type Host,
  type Range,
} from '../../../shared/net/cidr.ts';
import { mappingRevision, usableMappings } from '../address-mappings.ts';
import { addressOf } from '../wire-text.ts';
import type { PlanInput, InputMapping, InputNode, InputPod, InputRemap, InputTunnel } from '../plan/input.ts';

export interface InputObjects {
  localCluster: LocalCluster | undefined;
  fabricNodes: readonly FabricNode[];
  tunnels: readonly Tunnel[];
  pods: readonly Pod[];
  twinNamespaces: readonly TwinNamespace[];
  incomingPeerings: readonly IncomingPeering[];
  outgoingPeerings: readonly OutgoingPeering[];
  addressMappings: readonly AddressMapping[];
  /** This node. */
  node: Node | undefined;
  /** Twin namespaces: those with the label of a consumer's namespace. */
  tenantNamespaces: readonly Namespace[];
  tenantPods: readonly Pod[];
  /** Pods of the cluster's DNS. */
  dnsPods: readonly Pod[];
}

export type EndpointOf = (tunnelEndpoint: {
  publicKey: string;
  addresses: readonly string[];
}) => string | undefined;

/** What a node knows about itself. */
export interface Self {
  name: string;
  address: string;
  publicKey: string;
  underlayMTU: number;
  /** The tunnel endpoint whose key it holds. */
  tunnelEndpoint?: string;
  /** Hawser's namespace. */
  namespace: string;
  /** DNS servers of this node, which its pods use too. */
  nameservers?: readonly string[];
  /** Addresses of the API server as this node reaches it. */
  apiServer?: readonly string[];
}

/**
 * @param presharedKeys by remote cluster
 * @param endpointOf returns the current `address:port` of a remote tunnel endpoint; undefined while none is known
 */
export function readInput(
  objects: InputObjects,
  self: Self,
  presharedKeys: ReadonlyMap<string, Uint8Array>,
  endpointOf: EndpointOf,
): PlanInput {
  const { namespace, nameservers = [], apiServer = [], address, ...selfNode } = self;
  const unreadable: string[] = [];
  const own = objects.fabricNodes.find(({ metadata }) => metadata.name === self.name);
  const status = objects.localCluster?.status;
  const externalCIDR = status?.externalCIDR === undefined ? undefined : tryParseRange(status.externalCIDR);
  const pods = objects.pods.filter(hasAddress).toSorted(byAge);
  const realNodes = new Set(objects.fabricNodes.map((node) => node.metadata.name));
  // Read from the peering, not only from the Tunnel: a revocation takes effect before the controller has updated the Tunnel.
  const authorized = objects.incomingPeerings.filter(isAuthorized);
  const addressMappings = usableMappings(objects.addressMappings);
  const consumers = new Set(authorized.map((peering) => peering.spec.remoteCluster));
  return {
    node: {
      ...selfNode,
      ...hostFields({ address, externalAddress: own?.spec.externalAddress }),
      podCIDRs: readRanges(objects.node?.spec?.podCIDRs ?? []),
    },
    cluster: {
      podCIDRs: readRanges(status?.podCIDRs ?? []),
      serviceCIDRs: readRanges(status?.serviceCIDRs ?? []),
      nodeCIDRs: readRanges(status?.nodeCIDRs ?? []),
      ...(externalCIDR !== undefined && { externalCIDR }),
      apiServerAddresses: readHosts(status?.apiServerAddresses ?? []),
    },
    apiServer: readHosts(apiServer),
    nodes: objects.fabricNodes
      .filter(({ metadata }) => metadata.name !== self.name && metadata.deletionTimestamp === undefined)
      .map(readNode)
      .sort(byName),
    tunnels: objects.tunnels
      .filter((tunnel) => tunnel.metadata.deletionTimestamp === undefined)
      .toSorted(byAge)
      .flatMap((tunnel) => readTunnel(tunnel, consumers, presharedKeys, endpointOf, unreadable)),
    pods: pods.map(readPod),
    controllers: pods
      .filter(
        ({ metadata, spec }) =>
          metadata.namespace === namespace && spec?.serviceAccountName === controllerServiceAccount,
      )
      .flatMap((pod) => readPod(pod).addresses),
    twins: readTwins(objects.twinNamespaces, authorized),
    tenants: readTenants(objects.tenantNamespaces),
    tenantPods: objects.tenantPods.filter(hasAddress).map(readPod),
    resolvers: [
      ...objects.dnsPods.filter(hasAddress).flatMap((pod) => readPod(pod).addresses),
      ...readHosts(nameservers),
    ],
    virtualNodes: new Map(
      objects.outgoingPeerings
        .filter((peering) => !realNodes.has(peering.spec.nodeName))
        .map((peering) => [peering.spec.nodeName, peering.spec.remoteCluster]),
    ),
    addressMappings: addressMappings.flatMap(
      ({ address: mapped, target, remoteClusters }): InputMapping[] => {
        const [from, to] = [tryParseHost(mapped), tryParseHost(target)];
        return from === undefined || to === undefined ? [] : [{ address: from, target: to, remoteClusters }];
      },
    ),
    mappingRevision: mappingRevision(addressMappings),
    unreadable,
  };
}

/** Those of the fields that hold addresses, as values. */
function hostFields<Name extends string>(
  fields: Partial<Record<Name, string | undefined>>,
): Partial<Record<Name, Host>> {
  const result: Partial<Record<Name, Host>> = {};
  for (const name of Object.keys(fields) as Name[]) {
    const text = fields[name];
    const host = text === undefined ? undefined : tryParseHost(text);
    if (host !== undefined) result[name] = host;
  }
  return result;
}

function readNode(node: FabricNode): InputNode {
  const { spec, status } = node;
  // While an endpoint moves, the old holder's status is stale: an endpoint is held only when controller and node agree.
  const moving =
    status?.heldTunnelEndpoint !== undefined && status.heldTunnelEndpoint !== spec.tunnelEndpoint;
  const known = moving ? undefined : status;
  return {
    name: node.metadata.name,
    ...(status?.endpoint !== undefined && { endpoint: status.endpoint }),
    ...hostFields({
      address: status?.endpoint && addressOf(status.endpoint),
      externalAddress: spec.externalAddress,
    }),
    ...(known?.publicKey !== undefined && { publicKey: known.publicKey }),
    ...(known?.heldTunnelEndpoint !== undefined && { tunnelEndpoint: known.heldTunnelEndpoint }),
  };
}

function readTunnel(
  tunnel: Tunnel,
  consumers: ReadonlySet<string>,
  presharedKeys: ReadonlyMap<string, Uint8Array>,
  endpointOf: EndpointOf,
  unreadable: string[],
): InputTunnel[] {
  const { spec } = tunnel;
  const read = (text: string): Range[] => {
    const range = tryParseRange(text);
    if (range !== undefined) return [range];
    unreadable.push(
      `"${text.slice(0, 64)}" in the Tunnel ${spec.remoteCluster} is not an address range and is left out`,
    );
    return [];
  };
  const [remoteExternalCIDR] = read(spec.remoteExternalCIDR);
  if (remoteExternalCIDR === undefined) return [];
  const presharedKey = presharedKeys.get(spec.remoteCluster);
  const provider = spec.provider && consumers.has(spec.remoteCluster);
  return [
    {
      remoteCluster: spec.remoteCluster,
      consumer: spec.consumer,
      provider,
      open: spec.dataPath === 'Open' && (spec.consumer || provider),
      dialsInBand: spec.dialsInBand ?? false,
      servesInBand: spec.servesInBand ?? false,
      remotePodCIDRs: spec.remotePodCIDRs.flatMap(read),
      remoteExternalCIDR,
      ...(spec.remoteServiceCIDRs && { remoteServiceCIDRs: spec.remoteServiceCIDRs.flatMap(read) }),
      tunnelEndpoints: spec.remoteTunnelEndpoints.map((tunnelEndpoint) => {
        const endpoint = endpointOf(tunnelEndpoint);
        return {
          name: tunnelEndpoint.name,
          publicKey: tunnelEndpoint.publicKey,
          ...(endpoint !== undefined && { endpoint }),
        };
      }),
      remaps: spec.remaps.flatMap(({ real, mapped, state, held }): InputRemap[] => {
        const [[from], [to]] = [read(real), read(mapped)];
        return from === undefined || to === undefined
          ? []
          : [{ real: from, mapped: to, state, ...(held !== undefined && { held }) }];
      }),
      remoteRemaps: spec.remoteRemaps.flatMap(({ real, mapped }) => {
        const [[from], [to]] = [read(real), read(mapped)];
        return from === undefined || to === undefined ? [] : [{ real: from, mapped: to }];
      }),
      mtu: spec.mtu,
      ...(presharedKey !== undefined && { presharedKey }),
    },
  ];
}

/** The address of a finished pod may belong to another pod by now. */
function hasAddress(pod: Pod): boolean {
  const { phase } = pod.status ?? {};
  return (
    pod.spec?.nodeName !== undefined &&
    pod.spec.hostNetwork !== true &&
    phase !== 'Succeeded' &&
    phase !== 'Failed'
  );
}

function readPod(pod: Pod): InputPod {
  const addresses = pod.status?.podIPs?.map(({ ip }) => ip) ?? [];
  return {
    namespace: pod.metadata.namespace ?? '',
    name: pod.metadata.name,
    node: pod.spec?.nodeName ?? '',
    addresses: readHosts(
      addresses.length === 0 && pod.status?.podIP !== undefined ? [pod.status.podIP] : addresses,
    ),
  };
}

/** Namespace → remote whose pods run in it; a namespace that two remotes claim belongs to neither. */
function readTwins(
  twins: readonly TwinNamespace[],
  peerings: readonly IncomingPeering[],
): Map<string, string> {
  const consumers = new Map<string, string>();
  for (const peering of peerings) {
    const tenant = peering.status?.tenantNamespace;
    if (tenant !== undefined) consumers.set(tenant, peering.spec.remoteCluster);
  }
  const result = new Map<string, string>();
  const contested = new Set<string>();
  for (const twin of twins) {
    const namespace = twin.status?.namespace;
    const consumer = consumers.get(twin.metadata.namespace ?? '');
    if (namespace === undefined || consumer === undefined) continue;
    if (findCondition(twin.status?.conditions, 'Bound')?.status === 'False') continue;
    const present = result.get(namespace);
    if (present !== undefined && present !== consumer) contested.add(namespace);
    result.set(namespace, consumer);
  }
  for (const namespace of contested) result.delete(namespace);
  return result;
}

/** Twin namespace → remote, from the label. Hawser sets it at the provider; pods inside cannot change it. */
function readTenants(namespaces: readonly Namespace[]): Map<string, string> {
  const tenants = new Map<string, string>();
  for (const { metadata } of namespaces) {
    const consumer = metadata.labels?.[labels.origin];
    if (consumer !== undefined && isClusterID(consumer)) tenants.set(metadata.name, consumer);
  }
  return tenants;
}

interface Aged {
  metadata: { name: string; creationTimestamp?: string };
}

function byAge(one: Aged, other: Aged): number {
  const [first, second] = [one.metadata.creationTimestamp ?? '', other.metadata.creationTimestamp ?? ''];
  return first === second ? byName(one.metadata, other.metadata) : first < second ? -1 : 1;
}

function byName(one: { name: string }, other: { name: string }): number {
  return one.name < other.name ? -1 : one.name > other.name ? 1 : 0;
}

/** Only the fields of a pod that the fabric needs: a gateway node caches every pod of the cluster. */
export function trimPod(pod: Pod): Pod {
  const { name, namespace = '', resourceVersion, creationTimestamp } = pod.metadata;
  const { nodeName, hostNetwork, serviceAccountName } = pod.spec ?? {};
  const { phase, podIP, podIPs } = pod.status ?? {};
  return {
    apiVersion: pod.apiVersion,
    kind: pod.kind,
    metadata: {
      name,
      namespace,
      ...(resourceVersion !== undefined && { resourceVersion }),
      ...(creationTimestamp !== undefined && { creationTimestamp }),
    },
    spec: {
      containers: [],
      ...(nodeName !== undefined && { nodeName }),
      ...(hostNetwork === true && { hostNetwork }),
      // Labels of other pods are not used, and there may be many pods.
      ...(serviceAccountName === controllerServiceAccount && { serviceAccountName }),
    },
    status: {
      ...(phase !== undefined && { phase }),
      ...(podIP !== undefined && { podIP }),
      ...(podIPs !== undefined && { podIPs }),
    },
  };
}
