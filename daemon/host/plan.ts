/**
 * What Hawser wants of a node's kernel, as plain data. It is compared with what is there (`difference.ts`), and only the
 * difference is applied.
 */

export interface HostPlan {
  /** TUN device; made by the engine, configured here. */
  device: string;
  /** Bytes; of the device. */
  mtu: number;
  /** Addresses of the device, each a range of one. */
  addresses: readonly HostAddress[];
  /** Remote ranges that are reached through the device. */
  routes: readonly HostRoute[];
  packets: PacketPlan;
}

export interface HostAddress {
  /** `100.64.16.16/32` */
  prefix: string;
  /** `host`: the kernel never chooses it as a source by itself. */
  scope: 'global' | 'host';
}

export interface HostRoute {
  prefix: string;
  /** Source address for what this node itself sends there. */
  source?: string;
}

/** What happens to packets that enter or leave by the device. */
export interface PacketPlan {
  /** Pods of this cluster: their addresses stay as they are, on the way out and in. */
  podRanges: readonly string[];
  /** Ranges that lie behind the device. */
  remoteRanges: readonly string[];
  /** Addresses of the device. */
  ownAddresses: readonly string[];
  /** Source of everything else that leaves by the device. Absent: such packets are dropped. */
  hostSource?: string;
  /** What remotes may open towards own addresses, beside echo requests. */
  services: readonly HostService[];
}

export interface HostService {
  address: string;
  protocol: 'tcp' | 'udp';
  port: number;
}

/** The same plan has the same text, whatever the order of its parts. */
export function normalizePlan(plan: HostPlan): HostPlan {
  const unique = (texts: readonly string[]) => [...new Set(texts)].sort();
  return {
    ...plan,
    addresses: [...plan.addresses].sort((one, other) => compare(one.prefix, other.prefix)),
    routes: [...plan.routes].sort((one, other) => compare(one.prefix, other.prefix)),
    packets: {
      ...plan.packets,
      podRanges: unique(plan.packets.podRanges),
      remoteRanges: unique(plan.packets.remoteRanges),
      ownAddresses: unique(plan.packets.ownAddresses),
      services: [...plan.packets.services].sort((one, other) =>
        compare(serviceText(one), serviceText(other)),
      ),
    },
  };
}

const serviceText = (service: HostService) => `${service.address} ${service.protocol} ${service.port}`;

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
