/**
 * Which addresses may exchange packets through a tunnel: the groups of one peer's admission, in the addresses used on the
 * wire. A packet passes when its source and destination share a group; an address without a group passes no packet.
 */
import type { Admission, AdmissionEntry } from '../../../native/index.d.ts';
import { contains, covers, type Host, type Range } from '../../../shared/net/cidr.ts';
import { realHost } from '../../../shared/net/address-mapping.ts';
import { apiServerAddress, gatewayAddress, probeAddress } from '../../../shared/net/external-cidr.ts';
import type { PlanInput, InputTunnel } from './input.ts';

/** Bits of `AdmissionEntry.groups`. */
export const groups = {
  /** Own fixed addresses (probe) ↔ any address of the remote's external CIDR. */
  answering: 1 << 0,
  /** The remote's pods and nodes ↔ pods here that run for it. */
  providing: 1 << 1,
  /** Own pods, wherever they run, and own nodes ↔ own pods that run there. */
  consuming: 1 << 2,
  /** Declared ranges ↔ declared ranges. */
  open: 1 << 3,
  /** Own nodes ↔ the remote's fixed addresses: the direction in which this cluster probes. */
  asking: 1 << 4,
  /** Own controller ↔ the remote's API gateway and API server, in-band. */
  reaching: 1 << 5,
  /** The remote's pods, which include its controller ↔ own API gateway and API server, in-band. */
  serving: 1 << 6,
} as const;

/** Prefixes with groups; a longer prefix inherits the groups of shorter ones that contain it, unless it was added as exact. */
class Side {
  readonly #entries = new Map<string, { range: Range; groups: number }>();
  readonly #exact = new Set<string>();

  add(range: Range, bits: number): void {
    const present = this.#entries.get(range.text);
    if (present === undefined) this.#entries.set(range.text, { range, groups: bits });
    else present.groups |= bits;
  }

  /** An address that inherits no groups from the ranges that contain it. */
  addExact(address: Host, bits: number): void {
    this.add(address, bits);
    this.#exact.add(address.text);
  }

  /** Only the longest match decides in the engine, so each longer prefix must repeat the groups of the shorter ones. */
  entries(inherited: number): AdmissionEntry[] {
    const all = [...this.#entries.values()];
    const wide = all.filter(({ range }) => range.length < (range.family === 4 ? 32 : 128));
    return all
      .map(({ range, groups: own }) => {
        let bits = own;
        for (const other of this.#exact.has(range.text) ? [] : wide) {
          const outer = other.range.length < range.length && contains(other.range, range);
          if (outer) bits |= other.groups & inherited;
        }
        return { prefix: range.text, groups: bits };
      })
      .sort((one, other) => (one.prefix < other.prefix ? -1 : 1));
  }
}

/** Pods in twin namespaces, with the remote cluster for which they run. */
export interface TwinPod {
  address: Host;
  remoteCluster: string;
}

export interface AdmittedPods {
  /** Pods here that run for a remote, any remote. */
  twinPods: readonly TwinPod[];
  /** Addresses, as this cluster knows them, of own pods that run at that remote. */
  offloaded: readonly Host[];
  /** Addresses mapped for that remote: own pods that run at others. */
  mappings: readonly Host[];
}

/** Admission of one remote cluster. */
export function planAdmission(
  input: PlanInput,
  tunnel: InputTunnel,
  { twinPods, offloaded, mappings }: AdmittedPods,
): Admission {
  const local = new Side();
  const remote = new Side();
  const { externalCIDR } = input.cluster;

  if (externalCIDR !== undefined) local.add(probeAddress(externalCIDR), groups.answering);
  remote.add(tunnel.remoteExternalCIDR, groups.answering);
  remote.add(probeAddress(tunnel.remoteExternalCIDR), groups.asking);
  for (const { externalAddress } of [input.node, ...input.nodes]) {
    if (externalAddress === undefined) continue;
    local.add(externalAddress, groups.asking | (tunnel.consumer ? groups.consuming : 0));
  }
  // A pod that runs for a remote is not one of this cluster's own: its entry, even an empty one, keeps it out of the
  // groups of the range that contains it.
  for (const pod of twinPods) {
    const mine = tunnel.provider && pod.remoteCluster === tunnel.remoteCluster;
    local.add(pod.address, mine ? groups.providing : 0);
  }
  if (tunnel.provider) {
    for (const prefix of [...tunnel.remotePodCIDRs, tunnel.remoteExternalCIDR]) {
      remote.add(prefix, groups.providing);
    }
  }
  if (tunnel.consumer) {
    for (const prefix of input.cluster.podCIDRs) local.add(prefix, groups.consuming);
    for (const address of mappings) local.add(address, groups.consuming);
    for (const address of offloaded) {
      const real = realHost(tunnel.remaps, address);
      if (real !== undefined) remote.add(real, groups.consuming);
    }
  }
  addControlPlanes(input, tunnel, local, remote);
  if (tunnel.open) {
    for (const prefix of [...input.cluster.podCIDRs, ...(externalCIDR === undefined ? [] : [externalCIDR])]) {
      local.add(prefix, groups.open);
    }
    for (const prefix of [...tunnel.remotePodCIDRs, tunnel.remoteExternalCIDR])
      remote.add(prefix, groups.open);
  }
  return {
    local: local.entries(groups.open),
    remote: remote.entries(groups.open),
  };
}

/**
 * API gateway and API server of both sides, at their fixed addresses. Only clusters that use the in-band control plane
 * reach them, even where the declared ranges are open to each other.
 */
function addControlPlanes(input: PlanInput, tunnel: InputTunnel, local: Side, remote: Side): void {
  const { externalCIDR, podCIDRs } = input.cluster;
  for (const address of controlPlaneAddresses(tunnel.remoteExternalCIDR)) {
    remote.addExact(address, tunnel.dialsInBand ? groups.reaching : 0);
  }
  if (tunnel.dialsInBand) {
    for (const address of input.controllers) {
      if (!covers(podCIDRs, address)) continue;
      // Its own entry repeats the groups of the pod range.
      local.add(address, groups.reaching | (tunnel.consumer ? groups.consuming : 0));
    }
  }
  if (externalCIDR !== undefined) {
    for (const address of controlPlaneAddresses(externalCIDR)) {
      local.addExact(address, tunnel.servesInBand ? groups.serving : 0);
    }
  }
  if (tunnel.servesInBand) for (const prefix of tunnel.remotePodCIDRs) remote.add(prefix, groups.serving);
}

const controlPlaneAddresses = (externalCIDR: Range) => [
  gatewayAddress(externalCIDR),
  apiServerAddress(externalCIDR),
];
