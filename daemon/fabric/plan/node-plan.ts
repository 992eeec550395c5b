/**
 * A node's complete plan, computed from plain values: peers and routes of its tunnel device, the desired state of its kernel,
 * and its probes. Pure, so that tests can send packets through the plans of two clusters.
 */
import { covers, hostRange, type Host } from '../../../shared/net/cidr.ts';
import { mappedHost } from '../../../shared/net/address-mapping.ts';
import { probeAddress } from '../../../shared/net/external-cidr.ts';
import { ports, tunDevice } from '../../../shared/ports.ts';
import type { HostAddress, HostPlan, HostRoute, HostService } from '../../host/plan.ts';
import { isEndpoint, isTunnelKey } from '../wire-text.ts';
import type { TwinPod } from './admission.ts';
import { planInBand } from './in-band-plan.ts';
import { planIsolation } from './isolation-plan.ts';
import type { DevicePeer, DeviceRoute, InBandPlan } from '../ports.ts';
import { keepaliveSeconds, offloadedPods, planRemotePeers, type PeersOfRemotes } from './remote-peers.ts';
import { neededRanges, placeTunnels, type PlacedTunnel } from './remote-ranges.ts';
import type { PlanInput, InputNode } from './input.ts';

export interface NodePlan {
  device: {
    peers: DevicePeer[];
    routes: DeviceRoute[];
    tunSources: string[];
    deadPeers: string[];
  };
  host: HostPlan;
  probes: ProbePlan;
  /** Where this node serves API gateway and API server in-band, and to whom; absent if nowhere. */
  inBand?: InBandPlan;
  /** A peer's public key → which cluster and endpoint or node it is; for status. */
  remotePeers: ReadonlyMap<string, { remoteCluster: string; tunnelEndpoint: string }>;
  /** Hash of the requested AddressMappings. */
  mappingRevision: string;
  /** What was left out, and why: one sentence each. */
  warnings: string[];
}

export interface ProbePlan {
  /** Own address at which probes are answered; only on a node with a tunnel endpoint. */
  answerAt?: string;
  targets: ProbeTarget[];
}

export interface ProbeTarget {
  remoteCluster: string;
  /** The remote's probe address as this cluster knows it. */
  address: string;
  /** Own address from which probes are sent. */
  source: string;
  /** The source that the remote should see; absent until it has declared it. */
  expected?: string;
}

/** WireGuard's overhead over IPv6: 40 + 8 + 32 bytes; over IPv4 20 remain spare. */
export const tunnelOverhead = 80;
const minimumMTU = 1280; // RFC 8200, section 5

/** Computes the plan. Never throws for a peer's declarations: unusable ones are left out, with a warning. */
export function planNode(input: PlanInput): NodePlan {
  const warnings: string[] = [...input.unreadable];
  const { node } = input;
  const holdsEndpoint = node.tunnelEndpoint !== undefined;
  const lanMTU = Math.max(minimumMTU, node.underlayMTU - tunnelOverhead);

  const placed = placePods(input);
  const tunnels = placeTunnels(input, warnings);
  const routes = new Map<string, string[]>();
  const peers = new Map<string, DevicePeer>();
  const remotePeers = new Map<string, { remoteCluster: string; tunnelEndpoint: string }>();
  const deadPeers: string[] = [];

  // Own addresses, and the pods of this node.
  const own: HostAddress[] = [];
  if (node.externalAddress !== undefined) {
    own.push({ prefix: node.externalAddress.text, scope: 'global' });
  }
  const answerAt =
    holdsEndpoint && input.cluster.externalCIDR !== undefined
      ? probeAddress(input.cluster.externalCIDR)
      : undefined;
  if (answerAt !== undefined) own.push({ prefix: answerAt.text, scope: 'host' });
  const inBand = holdsEndpoint ? planInBand(input) : undefined;
  if (inBand !== undefined) {
    for (const address of [inBand.gateway, inBand.apiServer]) {
      own.push({ prefix: hostRange(address), scope: 'host' });
    }
  }
  const localPods = placed.filter((pod) => pod.node === node.name).map((pod) => pod.address.text);
  for (const { prefix } of own) routes.set(prefix, ['local']);
  for (const prefix of localPods) routes.set(prefix, ['local']);

  // Nodes with a tunnel endpoint peer with all others; a node without one peers only with those.
  const keys = new Map<string, string>();
  for (const other of input.nodes) {
    if (!holdsEndpoint && other.tunnelEndpoint === undefined) continue;
    const { publicKey, endpoint } = other;
    if (publicKey === undefined || endpoint === undefined) continue;
    if (!isTunnelKey(publicKey) || !isEndpoint(endpoint)) continue;
    if (publicKey === node.publicKey || peers.has(publicKey)) {
      warnings.push(`node ${other.name} has the same tunnel key as another node and is left out`);
      continue;
    }
    keys.set(other.name, publicKey);
    peers.set(publicKey, {
      publicKey,
      endpoint,
      persistentKeepaliveSeconds: keepaliveSeconds,
      mtu: lanMTU,
      discoverPathMTU: true,
      returnsToConfigured: true,
    });
  }
  if (holdsEndpoint) {
    for (const pod of placed) {
      const key = keys.get(pod.node);
      if (key !== undefined) routes.set(pod.address.text, [key]);
    }
    for (const other of input.nodes) {
      const key = keys.get(other.name);
      if (key === undefined || other.externalAddress === undefined) continue;
      routes.set(other.externalAddress.text, [key]);
    }
  }

  // Remote ranges: to the remotes' tunnel endpoints, or to this cluster's nodes that hold tunnel endpoints.
  const gateways = input.nodes
    .filter((other) => other.tunnelEndpoint !== undefined)
    .flatMap((other) => keys.get(other.name) ?? []);
  const twinPods = placed.flatMap((pod): TwinPod[] => {
    const remoteCluster = input.twins.get(pod.namespace);
    return remoteCluster === undefined ? [] : [{ address: pod.address, remoteCluster }];
  });
  // No endpoint may lie here: the tunnel's packets would enter a tunnel, or reach the local owner of the address.
  const unreachable = [
    ...input.cluster.podCIDRs,
    ...input.cluster.serviceCIDRs,
    ...tunnels.flatMap(({ mapped }) => mapped),
  ];
  const ofRemotes: PeersOfRemotes = {
    input,
    twinPods,
    offloaded: offloadedPods(input),
    unreachable,
    lanMTU,
    peers,
    remotePeers,
    warnings,
  };
  for (const { tunnel, mapped } of tunnels) {
    let targets = gateways;
    if (holdsEndpoint) {
      targets = planRemotePeers(ofRemotes, tunnel);
      // Packets that another gateway node of this cluster received from the remote arrive through it: admitted, never sent back.
      if (targets.length > 0) targets = [...targets, ...gateways];
    }
    if (targets.length === 0) continue;
    for (const { text } of mapped) routes.set(text, targets);
  }
  if (holdsEndpoint) deadPeers.push(...gateways);

  // The kernel routes all remote ranges into the device, reachable or not: otherwise packets would leave unencrypted.
  const host = planHost(input, own, tunnels, lanMTU, planServices(answerAt?.address, inBand));
  const reachable = tunnels.filter(({ mapped }) => mapped.some(({ text }) => routes.has(text)));
  return {
    device: {
      peers: [...peers.values()],
      routes: [...routes].map(([prefix, targets]) => ({ prefix, targets })),
      tunSources: [...own.map(({ prefix }) => prefix), ...localPods],
      deadPeers,
    },
    host,
    probes: {
      ...(answerAt !== undefined && { answerAt: answerAt.address }),
      targets: holdsEndpoint ? planProbes(node, reachable) : [],
    },
    ...(inBand !== undefined && { inBand }),
    remotePeers,
    mappingRevision: input.mappingRevision,
    warnings,
  };
}

/** Connections that remotes may open to this node. */
function planServices(answerAt: string | undefined, inBand: InBandPlan | undefined): HostService[] {
  return [
    ...(answerAt === undefined ? [] : [{ address: answerAt, protocol: 'udp' as const, port: ports.probe }]),
    ...(inBand === undefined
      ? []
      : [
          { address: inBand.gateway, protocol: 'tcp' as const, port: ports.gateway },
          { address: inBand.apiServer, protocol: 'tcp' as const, port: ports.apiServer },
        ]),
  ];
}

interface PlacedPod {
  namespace: string;
  node: string;
  address: Host;
}

/** Pods that the fabric can reach: their addresses lie in the declared ranges and are unique. */
function placePods(input: PlanInput): PlacedPod[] {
  const seen = new Map<string, PlacedPod>();
  for (const pod of input.pods) {
    if (input.virtualNodes.has(pod.node)) continue;
    for (const address of pod.addresses) {
      if (!covers(input.cluster.podCIDRs, address)) continue;
      seen.set(address.text, { namespace: pod.namespace, node: pod.node, address });
    }
  }
  return [...seen.values()];
}

function planHost(
  input: PlanInput,
  addresses: readonly HostAddress[],
  tunnels: readonly PlacedTunnel[],
  lanMTU: number,
  services: readonly HostService[],
): HostPlan {
  const source = input.node.externalAddress;
  const routes = tunnels.flatMap(({ mapped }) =>
    mapped.map(({ text, family }): HostRoute =>
      source?.family === family ? { prefix: text, source: source.address } : { prefix: text },
    ),
  );
  const isolation = planIsolation(input, tunnels);
  return {
    device: tunDevice,
    mtu: Math.max(minimumMTU, Math.min(lanMTU, ...tunnels.map(({ tunnel }) => tunnel.mtu))),
    addresses,
    routes,
    packets: {
      podRanges: input.cluster.podCIDRs.map(({ text }) => text),
      remoteRanges: routes.map((route) => route.prefix),
      ownAddresses: addresses.map((address) => address.prefix),
      ...(source !== undefined && { hostSource: source.address }),
      services,
    },
    needed: neededRanges(input).map(({ range, what }) => ({ range: range.text, what })),
    ...(isolation !== undefined && { isolation }),
  };
}

function planProbes(node: InputNode, tunnels: readonly PlacedTunnel[]): ProbeTarget[] {
  const source = node.externalAddress;
  if (source === undefined) return [];
  return tunnels.flatMap(({ tunnel }) => {
    const probe = mappedHost(tunnel.remaps, probeAddress(tunnel.remoteExternalCIDR));
    if (probe === undefined) return [];
    const expected = mappedHost(tunnel.remoteRemaps, source);
    return [
      {
        remoteCluster: tunnel.remoteCluster,
        address: probe.address,
        source: source.address,
        ...(expected !== undefined && { expected: expected.address }),
      },
    ];
  });
}
