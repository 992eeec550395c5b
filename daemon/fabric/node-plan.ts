/**
 * The whole of a node's part in the fabric, computed from plain values: peers and routes of its tunnel device, what its
 * kernel should hold, whom it probes. Pure, so that two clusters' plans can be laid side by side and walked through.
 */
import {
  anyContains,
  hostRange,
  overlaps,
  parseRange,
  tryParseRange,
  type Range,
} from '../../shared/net/cidr.ts';
import { toMapped } from '../../shared/net/address-mapping.ts';
import { probeAddress } from '../../shared/net/external-cidr.ts';
import { ports, tunDevice } from '../../shared/names.ts';
import type { HostAddress, HostPlan, HostRoute } from '../host/plan.ts';
import { addressOf, isEndpoint, isTunnelKey } from './wire-text.ts';
import { planAdmission, type TwinPod } from './admission.ts';
import type { DevicePeer, DeviceRoute } from './ports.ts';
import type { World, WorldNode, WorldTunnel } from './world.ts';

export interface NodePlan {
  device: {
    peers: DevicePeer[];
    routes: DeviceRoute[];
    tunSources: string[];
    deadPeers: string[];
  };
  host: HostPlan;
  probes: ProbePlan;
  /** Peer's public key → what it is; for status. */
  remotePeers: ReadonlyMap<string, { remoteCluster: string; slot: string }>;
  /** What is left out, and why: one sentence each. */
  warnings: string[];
}

export interface ProbePlan {
  /** Own address at which probes are answered; only a node with a slot does. */
  answerAt?: string;
  targets: ProbeTarget[];
}

export interface ProbeTarget {
  remoteCluster: string;
  /** The remote's probe address as this cluster knows it. */
  address: string;
  /** Own address from which it is asked. */
  source: string;
  /** What the remote should see as source; absent: it has not told yet. */
  expected?: string;
}

/**
 * A peer behind a NAT or a firewall stays reachable (WireGuard's manual, "NAT and Firewall Traversal Persistence"); and
 * the device shakes hands as soon as it starts, so that a restart is over before anybody sends.
 */
const keepaliveSeconds = 25;
/** WireGuard's overhead over IPv6: 40 + 8 + 32 bytes; over IPv4 20 remain spare. */
export const tunnelOverhead = 80;
const minimumMTU = 1280; // RFC 8200, section 5

/** Computes the plan. Never throws for what a peer declares: what cannot be used is left out, with a warning. */
export function planNode(world: World): NodePlan {
  const warnings: string[] = [];
  const { node } = world;
  const holdsSlot = node.slot !== undefined;
  const lanMTU = Math.max(minimumMTU, node.underlayMTU - tunnelOverhead);
  const podRanges = ranges(world.cluster.podCIDRs);

  const placed = placePods(world, podRanges);
  const tunnels = placeTunnels(world, podRanges, warnings);
  const routes = new Map<string, string[]>();
  const peers = new Map<string, DevicePeer>();
  const remotePeers = new Map<string, { remoteCluster: string; slot: string }>();
  const deadPeers: string[] = [];

  // Own addresses and the pods of this node.
  const own: HostAddress[] = [];
  if (node.externalAddress !== undefined) {
    own.push({ prefix: hostRange(node.externalAddress), scope: 'global' });
  }
  const answerAt =
    holdsSlot && world.cluster.externalCIDR !== undefined
      ? probeAddress(world.cluster.externalCIDR)
      : undefined;
  if (answerAt !== undefined) own.push({ prefix: hostRange(answerAt), scope: 'host' });
  const localPods = placed.filter((pod) => pod.node === node.name).map((pod) => hostRange(pod.address));
  for (const { prefix } of own) routes.set(prefix, ['local']);
  for (const prefix of localPods) routes.set(prefix, ['local']);

  // Nodes with a slot see all others; a node without one sees those with a slot.
  const keys = new Map<string, string>();
  for (const other of world.nodes) {
    if (!holdsSlot && other.slot === undefined) continue;
    const { publicKey, endpoint } = other;
    if (publicKey === undefined || endpoint === undefined) continue;
    if (!isTunnelKey(publicKey) || !isEndpoint(endpoint)) continue;
    if (publicKey === node.publicKey || peers.has(publicKey)) {
      warnings.push(`node ${other.name} has the tunnel key of another node and is left out`);
      continue;
    }
    keys.set(other.name, publicKey);
    peers.set(publicKey, { publicKey, endpoint, persistentKeepaliveSeconds: keepaliveSeconds, mtu: lanMTU });
  }
  if (holdsSlot) {
    for (const pod of placed) {
      const key = keys.get(pod.node);
      if (key !== undefined) routes.set(hostRange(pod.address), [key]);
    }
    for (const other of world.nodes) {
      const key = keys.get(other.name);
      if (key === undefined || other.externalAddress === undefined) continue;
      routes.set(hostRange(other.externalAddress), [key]);
    }
  }

  // Remote ranges: to the remotes' slots, or to this cluster's nodes that hold slots.
  const gateways = world.nodes
    .filter((other) => other.slot !== undefined)
    .flatMap((other) => keys.get(other.name) ?? []);
  const twinPods = placed.flatMap((pod): TwinPod[] => {
    const remoteCluster = world.twins.get(pod.namespace);
    return remoteCluster === undefined ? [] : [{ address: pod.address, remoteCluster }];
  });
  // Where no endpoint can be: packets of the tunnel would go into a tunnel, or to whoever has the address here.
  const unreachable = [
    ...podRanges,
    ...ranges(world.cluster.serviceCIDRs),
    ...tunnels.flatMap(({ mapped }) => ranges(mapped)),
  ];
  for (const { tunnel, mapped } of tunnels) {
    let targets = gateways;
    if (holdsSlot) {
      targets = planRemotePeers(world, tunnel, twinPods, peers, remotePeers, unreachable, lanMTU, warnings);
      // What another gateway of this cluster took from the remote comes by way of it: it is let in, and never sent back.
      if (targets.length > 0) targets = [...targets, ...gateways];
    }
    if (targets.length === 0) continue;
    for (const prefix of mapped) routes.set(prefix, targets);
  }
  if (holdsSlot) deadPeers.push(...gateways);

  // The kernel sends all remote ranges into the device, reachable or not: elsewhere they would leave unencrypted.
  const host = planHost(world, own, tunnels, lanMTU, answerAt);
  const reachable = tunnels.filter(({ mapped }) => mapped.some((prefix) => routes.has(prefix)));
  return {
    device: {
      peers: [...peers.values()],
      routes: [...routes].map(([prefix, targets]) => ({ prefix, targets })),
      tunSources: [...own.map(({ prefix }) => prefix), ...localPods],
      deadPeers,
    },
    host,
    probes: {
      ...(answerAt !== undefined && { answerAt }),
      targets: holdsSlot ? planProbes(node, reachable) : [],
    },
    remotePeers,
    warnings,
  };
}

interface PlacedPod {
  namespace: string;
  node: string;
  address: string;
}

/** Pods that the fabric can reach: their addresses lie in the declared ranges, and no two are the same. */
function placePods(world: World, podRanges: readonly Range[]): PlacedPod[] {
  const seen = new Map<string, PlacedPod>();
  for (const pod of world.pods) {
    if (world.virtualNodes.has(pod.node)) continue;
    for (const address of pod.addresses) {
      if (!anyContains(podRanges, address)) continue;
      seen.set(address, { namespace: pod.namespace, node: pod.node, address });
    }
  }
  return [...seen.values()];
}

interface PlacedTunnel {
  tunnel: WorldTunnel;
  /** Ranges of it that can be routed here. */
  mapped: string[];
}

/** A remote range that meets what this cluster uses would cut it off from itself: it is never routed. */
function placeTunnels(world: World, podRanges: readonly Range[], warnings: string[]): PlacedTunnel[] {
  const taken: { range: Range; what: string }[] = [
    ...podRanges.map((range) => ({ range, what: 'this cluster’s pods' })),
    ...ranges(world.cluster.serviceCIDRs).map((range) => ({ range, what: 'this cluster’s Services' })),
    ...ranges(world.cluster.nodeCIDRs).map((range) => ({ range, what: 'this cluster’s nodes' })),
    ...ranges(world.cluster.externalCIDR === undefined ? [] : [world.cluster.externalCIDR]).map((range) => ({
      range,
      what: 'this cluster’s external CIDR',
    })),
    ...[world.node, ...world.nodes].flatMap((other) =>
      ranges(other.address === undefined ? [] : [other.address]).map((range) => ({
        range,
        what: `node ${other.name}`,
      })),
    ),
  ];
  return world.tunnels.map((tunnel) => {
    const mapped: string[] = [];
    for (const remap of tunnel.remaps) {
      const range = tryParseRange(remap.mapped);
      if (range === undefined) continue;
      const conflict = taken.find((other) => overlaps(other.range, range));
      if (conflict !== undefined) {
        if (remap.state === 'InUse') {
          warnings.push(
            `range ${range.text} of ${tunnel.remoteCluster} is not routed: it meets ${conflict.what}`,
          );
        }
        continue;
      }
      mapped.push(range.text);
    }
    for (const text of mapped) taken.push({ range: parseRange(text), what: tunnel.remoteCluster });
    return { tunnel, mapped };
  });
}

/** Adds a remote's slots as peers; returns their keys. */
function planRemotePeers(
  world: World,
  tunnel: WorldTunnel,
  twinPods: readonly TwinPod[],
  peers: Map<string, DevicePeer>,
  remotePeers: Map<string, { remoteCluster: string; slot: string }>,
  unreachable: readonly Range[],
  lanMTU: number,
  warnings: string[],
): string[] {
  const { presharedKey } = tunnel;
  if (presharedKey === undefined) return [];
  const offloaded = world.pods
    .filter((pod) => world.virtualNodes.get(pod.node) === tunnel.remoteCluster)
    .flatMap((pod) => pod.addresses);
  const admission = planAdmission(world, tunnel, twinPods, offloaded);
  const translation = planTranslation(tunnel);
  const targets: string[] = [];
  for (const slot of tunnel.slots) {
    // One entry that the device refuses would make it refuse the whole configuration, everybody's.
    if (!isTunnelKey(slot.publicKey) || (slot.endpoint !== undefined && !isEndpoint(slot.endpoint))) {
      warnings.push(
        `slot ${slot.name} of ${tunnel.remoteCluster} has a malformed key or endpoint and is left out`,
      );
      continue;
    }
    if (slot.publicKey === world.node.publicKey || peers.has(slot.publicKey)) {
      warnings.push(
        `slot ${slot.name} of ${tunnel.remoteCluster} has the tunnel key of another peer and is left out`,
      );
      continue;
    }
    let { endpoint } = slot;
    if (endpoint !== undefined && anyContains(unreachable, addressOf(endpoint))) {
      warnings.push(
        `endpoint ${endpoint} of ${tunnel.remoteCluster} is not used: it lies in a range of this cluster or of a remote`,
      );
      endpoint = undefined;
    }
    peers.set(slot.publicKey, {
      publicKey: slot.publicKey,
      presharedKey,
      ...(endpoint !== undefined && { endpoint }),
      persistentKeepaliveSeconds: keepaliveSeconds,
      mtu: Math.min(tunnel.mtu, lanMTU),
      translation,
      admission,
    });
    remotePeers.set(slot.publicKey, { remoteCluster: tunnel.remoteCluster, slot: slot.name });
    targets.push(slot.publicKey);
  }
  return targets;
}

/** Leaving: the names used here → the remote's own. Entering: the remote's own → the names used here. */
function planTranslation(tunnel: WorldTunnel): NonNullable<DevicePeer['translation']> {
  const changed = tunnel.remaps.filter((remap) => remap.real !== remap.mapped);
  return {
    in: {
      source: changed
        .filter((remap) => remap.state === 'InUse')
        .map(({ real, mapped }) => ({ from: real, to: mapped })),
      destination: [],
    },
    out: { source: [], destination: changed.map(({ real, mapped }) => ({ from: mapped, to: real })) },
  };
}

function planHost(
  world: World,
  addresses: readonly HostAddress[],
  tunnels: readonly PlacedTunnel[],
  lanMTU: number,
  answerAt: string | undefined,
): HostPlan {
  const source = world.node.externalAddress;
  const family = source === undefined ? undefined : parseRange(source).family;
  const routes = tunnels.flatMap(({ mapped }) =>
    mapped.map((prefix): HostRoute => {
      const usable = source !== undefined && parseRange(prefix).family === family;
      return usable ? { prefix, source } : { prefix };
    }),
  );
  return {
    device: tunDevice,
    mtu: Math.max(minimumMTU, Math.min(lanMTU, ...tunnels.map(({ tunnel }) => tunnel.mtu))),
    addresses,
    routes,
    packets: {
      podRanges: ranges(world.cluster.podCIDRs).map((range) => range.text),
      remoteRanges: routes.map((route) => route.prefix),
      ownAddresses: addresses.map((address) => address.prefix),
      ...(source !== undefined && { hostSource: source }),
      services: answerAt === undefined ? [] : [{ address: answerAt, protocol: 'udp', port: ports.probe }],
    },
  };
}

function planProbes(node: WorldNode, tunnels: readonly PlacedTunnel[]): ProbeTarget[] {
  const source = node.externalAddress;
  if (source === undefined) return [];
  return tunnels.flatMap(({ tunnel }) => {
    const address = toMapped(tunnel.remaps, probeAddress(tunnel.remoteExternalCIDR));
    if (address === undefined) return [];
    const expected = toMapped(tunnel.remoteRemaps, source);
    return [
      { remoteCluster: tunnel.remoteCluster, address, source, ...(expected !== undefined && { expected }) },
    ];
  });
}

function ranges(texts: readonly string[]): Range[] {
  return texts.flatMap((text) => tryParseRange(text) ?? []);
}
