/** The tunnel endpoints of a remote cluster as peers of the tunnel device: keys, translation, admission. Pure. */
import type { PrefixMapping } from '../../../native/index.d.ts';
import { realHost } from '../../../shared/net/address-mapping.ts';
import { anyContains, type Host, type Range } from '../../../shared/net/cidr.ts';
import { isMappedAddress } from '../../../shared/net/external-cidr.ts';
import { planAdmission, type TwinPod } from './admission.ts';
import type { DevicePeer } from '../ports.ts';
import { addressOf, isEndpoint, isTunnelKey } from '../wire-text.ts';
import type { PlanInput, InputMapping, InputTunnel } from './input.ts';

/**
 * Keeps a peer behind a NAT or a firewall reachable (WireGuard's quick start, "NAT and Firewall Traversal Persistence"). It
 * also makes the device start a handshake at once, so that after a restart the session exists before the first packet.
 */
export const keepaliveSeconds = 25;

/** The inputs from which the peers of all remotes are planned, and the lists that receive them. */
export interface PeersOfRemotes {
  input: PlanInput;
  twinPods: readonly TwinPod[];
  offloaded: OffloadedPods;
  /** Ranges in which no endpoint may lie. */
  unreachable: readonly Range[];
  lanMTU: number;
  peers: Map<string, DevicePeer>;
  remotePeers: Map<string, { remoteCluster: string; tunnelEndpoint: string }>;
  warnings: string[];
}

/** Adds a remote's tunnel endpoints as peers; returns their keys. */
export function planRemotePeers(
  { input, twinPods, offloaded, unreachable, lanMTU, peers, remotePeers, warnings }: PeersOfRemotes,
  tunnel: InputTunnel,
): string[] {
  const { presharedKey } = tunnel;
  if (presharedKey === undefined) return [];
  const mappings = mappingsFor(input, tunnel, offloaded);
  const admission = planAdmission(input, tunnel, {
    twinPods,
    offloaded: offloaded.at(tunnel.remoteCluster),
    mappings: mappings.map(({ address }) => address),
  });
  const translation = planTranslation(tunnel, mappings, offloaded.at(tunnel.remoteCluster));
  const targets: string[] = [];
  for (const tunnelEndpoint of tunnel.tunnelEndpoints) {
    // The device refuses a configuration with one bad entry as a whole, which would affect all remotes.
    if (
      !isTunnelKey(tunnelEndpoint.publicKey) ||
      (tunnelEndpoint.endpoint !== undefined && !isEndpoint(tunnelEndpoint.endpoint))
    ) {
      warnings.push(
        `tunnel endpoint ${tunnelEndpoint.name} of ${tunnel.remoteCluster} has a malformed key or endpoint and is left out`,
      );
      continue;
    }
    if (tunnelEndpoint.publicKey === input.node.publicKey || peers.has(tunnelEndpoint.publicKey)) {
      warnings.push(
        `tunnel endpoint ${tunnelEndpoint.name} of ${tunnel.remoteCluster} has the same tunnel key as another peer and is left out`,
      );
      continue;
    }
    let { endpoint } = tunnelEndpoint;
    if (endpoint !== undefined && anyContains(unreachable, addressOf(endpoint))) {
      warnings.push(
        `endpoint ${endpoint} of ${tunnel.remoteCluster} is not used: it lies in a range of this cluster or of a remote`,
      );
      endpoint = undefined;
    }
    peers.set(tunnelEndpoint.publicKey, {
      publicKey: tunnelEndpoint.publicKey,
      presharedKey,
      ...(endpoint !== undefined && { endpoint }),
      persistentKeepaliveSeconds: keepaliveSeconds,
      mtu: Math.min(tunnel.mtu, lanMTU),
      discoverPathMTU: true,
      returnsToConfigured: true,
      translation,
      admission,
    });
    remotePeers.set(tunnelEndpoint.publicKey, {
      remoteCluster: tunnel.remoteCluster,
      tunnelEndpoint: tunnelEndpoint.name,
    });
    targets.push(tunnelEndpoint.publicKey);
  }
  return targets;
}

/** Own pods that run at remotes, by their addresses as this cluster knows them. */
export interface OffloadedPods {
  /** Own pods that run at the remote. */
  at(remoteCluster: string): readonly Host[];
  /** The remote at which the pod with this address runs. */
  remoteOf(address: Host): string | undefined;
}

/** A remote's pod is never one of this cluster's own, whatever node it names. */
export function offloadedPods(input: PlanInput): OffloadedPods {
  const byRemote = new Map<string, Host[]>();
  const byAddress = new Map<string, string>();
  for (const pod of input.pods) {
    const remote = input.virtualNodes.get(pod.node);
    if (remote === undefined || input.twins.has(pod.namespace)) continue;
    for (const address of pod.addresses) {
      const there = byRemote.get(remote);
      if (there === undefined) byRemote.set(remote, [address]);
      else there.push(address);
      byAddress.set(address.text, remote);
    }
  }
  return {
    at: (remoteCluster) => byRemote.get(remoteCluster) ?? [],
    remoteOf: (address) => byAddress.get(address.text),
  };
}

/** The mapped addresses that a remote may use: each stands for a pod that currently runs at another remote. */
function mappingsFor(input: PlanInput, tunnel: InputTunnel, offloaded: OffloadedPods): InputMapping[] {
  const { externalCIDR } = input.cluster;
  if (!tunnel.consumer || externalCIDR === undefined) return [];
  const [addresses, targets] = [new Set<string>(), new Set<string>()];
  return input.addressMappings.filter(({ address, target, remoteClusters }) => {
    if (!remoteClusters.includes(tunnel.remoteCluster)) return false;
    const where = offloaded.remoteOf(target);
    if (where === undefined || where === tunnel.remoteCluster) return false;
    // An address that two claim belongs to the first: a mapping that is not one to one cannot be reversed.
    if (!isMappedAddress(externalCIDR, address) || addresses.has(address.text) || targets.has(target.text))
      return false;
    addresses.add(address.text);
    targets.add(target.text);
    return true;
  });
}

/**
 * Outgoing: this cluster's remap → the remote's own range; a pod that runs elsewhere → its mapped address. Incoming: the
 * remote's own range → this cluster's remap; a mapped address → the pod that it stands for.
 */
function planTranslation(
  tunnel: InputTunnel,
  mappings: readonly InputMapping[],
  offloaded: readonly Host[],
): NonNullable<DevicePeer['translation']> {
  const changed = tunnel.remaps.filter((remap) => remap.real.text !== remap.mapped.text);
  const lending = mappings.map(({ address, target }) => ({
    mappings: address.text,
    target: target.text,
  }));
  return {
    in: {
      source: [
        ...changed
          .filter((remap) => remap.state === 'InUse')
          .map(({ real, mapped }) => ({ from: real.text, to: mapped.text })),
        ...drainingPods(tunnel, offloaded),
      ],
      destination: lending.map((each) => ({ from: each.mappings, to: each.target })),
    },
    out: {
      source: lending.map((each) => ({ from: each.target, to: each.mappings })),
      destination: changed.map(({ real, mapped }) => ({ from: mapped.text, to: real.text })),
    },
  };
}

/**
 * Pods whose address lies in a draining remap. Each keeps it for its lifetime by an entry of its own, while the range as a
 * whole has another remap already, so that none of its connections sees its remote address change.
 */
function drainingPods({ remaps }: InputTunnel, offloaded: readonly Host[]): PrefixMapping[] {
  const draining = remaps.filter(
    ({ real, state }) =>
      state === 'Draining' &&
      remaps.some((other) => other.real.text === real.text && other.state === 'InUse'),
  );
  return offloaded.flatMap((address) => {
    const real = realHost(draining, address);
    return real === undefined ? [] : [{ from: real.text, to: address.text }];
  });
}
