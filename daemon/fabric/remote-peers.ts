/** The slots of a remote cluster as peers of the tunnel device: keys, translation, admission. Pure. */
import { anyContains, type Range } from '../../shared/net/cidr.ts';
import { planAdmission, type TwinPod } from './admission.ts';
import type { DevicePeer } from './ports.ts';
import { addressOf, isEndpoint, isTunnelKey } from './wire-text.ts';
import type { World, WorldTunnel } from './world.ts';

/**
 * A peer behind a NAT or a firewall stays reachable (WireGuard's manual, "NAT and Firewall Traversal Persistence"); and
 * the device shakes hands as soon as it starts, so that a restart is over before anybody sends.
 */
export const keepaliveSeconds = 25;

/** Adds a remote's slots as peers; returns their keys. */
export function planRemotePeers(
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
