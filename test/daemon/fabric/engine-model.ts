import { parseRange } from '../../../shared/net/cidr.ts';
import type { PrefixMapping } from '../../../native/index.d.ts';
import { addressNumber, formatAddress } from '../../../shared/net/cidr.ts';
import type { NodePlan } from '../../../daemon/fabric/plan/node-plan.ts';

/**
 * A model of the packet engine's rules (native/index.d.ts) in the simplest form, over the plans of any number of nodes. Devices
 * find each other by public key, as on the wire.
 */
export interface ModelDevice {
  name: string;
  publicKey: string;
  plan: NodePlan;
}

export interface Packet {
  source: string;
  destination: string;
}

export type Fate =
  | { delivered: true; at: string; packet: Packet; hops: string[] }
  | { delivered: false; at: string; reason: string; hops: string[] };

function longest<T extends { prefix: string }>(entries: readonly T[], address: string): T | undefined {
  const { family, number } = addressNumber(address);
  let best: { entry: T; length: number } | undefined;
  for (const entry of entries) {
    const range = parseRange(entry.prefix);
    if (range.family !== family || number < range.start || number > range.end) continue;
    if (best === undefined || range.length > best.length) best = { entry, length: range.length };
  }
  return best?.entry;
}

function translate(mappings: readonly PrefixMapping[], address: string): string {
  const found = longest(
    mappings.map(({ from, to }) => ({ prefix: from, to })),
    address,
  );
  if (found === undefined) return address;
  const { family, number } = addressNumber(address);
  return formatAddress(parseRange(found.to).start + (number - parseRange(found.prefix).start), family);
}

const apply = (
  translation: { source: readonly PrefixMapping[]; destination: readonly PrefixMapping[] },
  packet: Packet,
) => ({
  source: translate(translation.source, packet.source),
  destination: translate(translation.destination, packet.destination),
});

export class EngineModel {
  readonly #devices: readonly ModelDevice[];

  /** Selects one of several live targets, in place of a flow's hash. */
  pick: (targets: readonly string[]) => string | undefined = (targets) => targets[0];

  constructor(devices: readonly ModelDevice[]) {
    this.#devices = devices;
  }

  /** Routes a packet that a node's kernel writes into its TUN device. */
  fromTun(deviceName: string, packet: Packet): Fate {
    const device = this.#devices.find(({ name }) => name === deviceName);
    if (device === undefined) throw new Error(`no device ${deviceName}`);
    const hops = [deviceName];
    if (
      longest(
        device.plan.device.tunSources.map((prefix) => ({ prefix })),
        packet.source,
      ) === undefined
    ) {
      return { delivered: false, at: deviceName, reason: 'sourceNotAllowed', hops };
    }
    return this.#switch(device, packet, hops);
  }

  /** Routes an arbitrary packet that the owner of a compromised device encrypts for another. */
  forge(from: string, to: string, packet: Packet): Fate {
    const [sender, receiver] = [from, to].map((name) => this.#devices.find((device) => device.name === name));
    if (sender === undefined || receiver === undefined) throw new Error('no such device');
    return this.#receive(receiver, sender.publicKey, packet, [from]);
  }

  #switch(device: ModelDevice, packet: Packet, hops: string[]): Fate {
    const lost = (reason: string): Fate => ({ delivered: false, at: device.name, reason, hops });
    if (hops.length > 8) return lost('timeExceeded');
    const { plan } = device;
    const route = longest(plan.device.routes, packet.destination);
    if (route === undefined) return lost('noRoute');
    const living = route.targets.filter(
      (target) => route.targets.length === 1 || !plan.device.deadPeers.includes(target),
    );
    const target = this.pick(living);
    if (target === undefined) return lost('noRoute');
    if (target === 'local') return { delivered: true, at: device.name, packet, hops };
    const peer = plan.device.peers.find(({ publicKey }) => publicKey === target);
    if (peer === undefined) return lost('noSuchPeer');
    const wire = peer.translation === undefined ? packet : apply(peer.translation.out, packet);
    if (peer.admission !== undefined) {
      const local = longest(peer.admission.local, wire.source)?.groups ?? 0;
      const remote = longest(peer.admission.remote, wire.destination)?.groups ?? 0;
      if ((local & remote) === 0) return lost('notAdmitted');
    }
    const receiver = this.#devices.find(({ publicKey }) => publicKey === target);
    if (receiver === undefined) return lost('noSession');
    return this.#receive(receiver, device.publicKey, wire, hops);
  }

  #receive(device: ModelDevice, from: string, wire: Packet, hops: readonly string[]): Fate {
    const path = [...hops, device.name];
    const lost = (reason: string): Fate => ({ delivered: false, at: device.name, reason, hops: path });
    const peer = device.plan.device.peers.find(({ publicKey }) => publicKey === from);
    if (peer === undefined) return lost('unknownSession');
    if (peer.admission !== undefined) {
      const local = longest(peer.admission.local, wire.destination)?.groups ?? 0;
      const remote = longest(peer.admission.remote, wire.source)?.groups ?? 0;
      if ((local & remote) === 0) return lost('notAdmitted');
    }
    const packet = peer.translation === undefined ? wire : apply(peer.translation.in, wire);
    const back = longest(device.plan.device.routes, packet.source);
    if (back === undefined || !back.targets.includes(from)) return lost('sourceNotAllowed');
    return this.#switch(device, packet, path);
  }
}
