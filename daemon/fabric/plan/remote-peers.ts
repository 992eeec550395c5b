/** The slots of a remote cluster as peers of the tunnel device: keys, translation, admission. Pure. */
import type { PrefixMapping } from '../../../native/index.d.ts';
import { toReal } from '../../../shared/net/address-mapping.ts';
import { anyContains, hostRange, type Range } from '../../../shared/net/cidr.ts';
import { isLentAddress } from '../../../shared/net/external-cidr.ts';
import { planAdmission, type TwinPod } from './admission.ts';
import type { DevicePeer } from '../ports.ts';
import { addressOf, isEndpoint, isTunnelKey } from '../wire-text.ts';
import type { World, WorldLentAddress, WorldTunnel } from './input.ts';

/**
 * A peer behind a NAT or a firewall stays reachable (WireGuard's manual, "NAT and Firewall Traversal Persistence"); and
 * the device shakes hands as soon as it starts, so that a restart is over before anybody sends.
 */
export const keepaliveSeconds = 25;

/** What the peers of all remotes are planned from, and where they go. */
export interface PeersOfRemotes {
  world: World;
  twinPods: readonly TwinPod[];
  offloaded: OffloadedPods;
  /** Where no endpoint can be. */
  unreachable: readonly Range[];
  lanMTU: number;
  peers: Map<string, DevicePeer>;
  remotePeers: Map<string, { remoteCluster: string; slot: string }>;
  warnings: string[];
}

/** Adds a remote's slots as peers; returns their keys. */
export function planRemotePeers(
  { world, twinPods, offloaded, unreachable, lanMTU, peers, remotePeers, warnings }: PeersOfRemotes,
  tunnel: WorldTunnel,
): string[] {
  const { presharedKey } = tunnel;
  if (presharedKey === undefined) return [];
  const lent = lentTo(world, tunnel, offloaded);
  const admission = planAdmission(world, tunnel, {
    twinPods,
    offloaded: offloaded.at(tunnel.remoteCluster),
    lent: lent.map(({ address }) => address),
  });
  const translation = planTranslation(tunnel, lent, offloaded.at(tunnel.remoteCluster));
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
      discoverPathMTU: true,
      returnsToConfigured: true,
      translation,
      admission,
    });
    remotePeers.set(slot.publicKey, { remoteCluster: tunnel.remoteCluster, slot: slot.name });
    targets.push(slot.publicKey);
  }
  return targets;
}

/** Own pods that run at remotes, by their addresses in this cluster's terms. */
export interface OffloadedPods {
  /** Those that run there. */
  at(remoteCluster: string): readonly string[];
  /** Where the pod of that address runs. */
  remoteOf(address: string): string | undefined;
}

/** A remote's pod is none of this cluster's own, whatever node it has. */
export function offloadedPods(world: World): OffloadedPods {
  const byRemote = new Map<string, string[]>();
  const byAddress = new Map<string, string>();
  for (const pod of world.pods) {
    const remote = world.virtualNodes.get(pod.node);
    if (remote === undefined || world.twins.has(pod.namespace)) continue;
    for (const address of pod.addresses) {
      const there = byRemote.get(remote);
      if (there === undefined) byRemote.set(remote, [address]);
      else there.push(address);
      byAddress.set(address, remote);
    }
  }
  return {
    at: (remoteCluster) => byRemote.get(remoteCluster) ?? [],
    remoteOf: (address) => byAddress.get(address),
  };
}

/** The lent addresses that a remote may use: each stands for a pod that runs, now, at another one. */
function lentTo(world: World, tunnel: WorldTunnel, offloaded: OffloadedPods): WorldLentAddress[] {
  const { externalCIDR } = world.cluster;
  if (!tunnel.consumer || externalCIDR === undefined) return [];
  const [addresses, targets] = [new Set<string>(), new Set<string>()];
  return world.lentAddresses.filter(({ address, target, remoteClusters }) => {
    if (!remoteClusters.includes(tunnel.remoteCluster)) return false;
    const where = offloaded.remoteOf(target);
    if (where === undefined || where === tunnel.remoteCluster) return false;
    // What two claim belongs to the first: a mapping that is not one to one has no way back.
    if (!isLentAddress(externalCIDR, address) || addresses.has(address) || targets.has(target)) return false;
    addresses.add(address);
    targets.add(target);
    return true;
  });
}

/**
 * Leaving: the names used here → the remote's own; a pod that runs elsewhere → the address lent to it. Entering: the
 * remote's own → the names used here; a lent address → whom it stands for.
 */
function planTranslation(
  tunnel: WorldTunnel,
  lent: readonly WorldLentAddress[],
  offloaded: readonly string[],
): NonNullable<DevicePeer['translation']> {
  const changed = tunnel.remaps.filter((remap) => remap.real !== remap.mapped);
  const lending = lent.map(({ address, target }) => ({
    lent: hostRange(address),
    target: hostRange(target),
  }));
  return {
    in: {
      source: [
        ...changed
          .filter((remap) => remap.state === 'InUse')
          .map(({ real, mapped }) => ({ from: real, to: mapped })),
        ...drainingPods(tunnel, offloaded),
      ],
      destination: lending.map((each) => ({ from: each.lent, to: each.target })),
    },
    out: {
      source: lending.map((each) => ({ from: each.target, to: each.lent })),
      destination: changed.map(({ real, mapped }) => ({ from: mapped, to: real })),
    },
  };
}

/**
 * Pods that have their address still from a range that drains: they keep it for as long as they live, one by one, while the
 * range as a whole has another name already. So no connection of theirs sees its other end change.
 */
function drainingPods({ remaps }: WorldTunnel, offloaded: readonly string[]): PrefixMapping[] {
  const draining = remaps.filter(
    ({ real, state }) =>
      state === 'Draining' && remaps.some((other) => other.real === real && other.state === 'InUse'),
  );
  return offloaded.flatMap((address) => {
    const real = toReal(draining, address);
    return real === undefined ? [] : [{ from: hostRange(real), to: hostRange(address) }];
  });
}
