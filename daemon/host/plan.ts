/**
 * The desired state of a node's kernel, as plain data. It is compared with the observed state (`difference.ts`), and only
 * the difference is applied.
 */

export interface HostPlan {
  /** TUN device; created by the engine, configured here. */
  device: string;
  /** MTU of the device, bytes. */
  mtu: number;
  /** Addresses of the device, each as a /32 or /128. */
  addresses: readonly HostAddress[];
  /** Remote ranges that are reached through the device. */
  routes: readonly HostRoute[];
  packets: PacketPlan;
  /** Ranges that this node needs: a route that would cover one is not added. */
  needed?: readonly NeededRange[];
  /** Absent if no consumer has a twin namespace here, so that no pod is isolated. */
  isolation?: IsolationPlan;
}

export interface NeededRange {
  range: string;
  /** For people: `the API server`. */
  what: string;
}

export interface HostAddress {
  /** `100.64.16.16/32` */
  prefix: string;
  /** With `host` the kernel never selects it as a source. */
  scope: 'global' | 'host';
}

export interface HostRoute {
  prefix: string;
  /** Source address of packets that this node itself sends there. */
  source?: string;
}

/** Rules for packets that enter or leave by the device. */
export interface PacketPlan {
  /** Pods of this cluster, whose addresses are not translated in either direction. */
  podRanges: readonly string[];
  /** Ranges that lie behind the device. */
  remoteRanges: readonly string[];
  /** Ranges whose routes were refused: packets from the device with such a source are dropped. */
  refusedRanges?: readonly string[];
  /** Addresses of the device. */
  ownAddresses: readonly string[];
  /** Source of all other packets that leave by the device. Absent: they are dropped. */
  hostSource?: string;
  /** Connections that remotes may open to own addresses, besides echo requests. */
  services: readonly HostService[];
}

export interface HostService {
  address: string;
  protocol: 'tcp' | 'udp';
  port: number;
}

/** Isolation of the consumers' pods on this node. */
export interface IsolationPlan {
  tenants: readonly IsolatedTenant[];
  /** Addresses that every pod may reach at port 53. */
  resolvers: readonly string[];
  /** Ranges that no consumer's pod may reach, by their kind. */
  forbidden: readonly { what: string; ranges: readonly string[] }[];
  /**
   * This node's pod ranges, and the addresses in them that belong to known pods. Any other address may be that of a
   * consumer's pod that has just started. Absent if pods here have addresses of other ranges.
   */
  unknown?: { ranges: readonly string[]; known: readonly string[] };
}

export interface IsolatedTenant {
  /** The remote cluster for which the pods run. */
  remoteCluster: string;
  /** Addresses of its pods on this node. */
  here: readonly string[];
  /** Addresses of all its pods in this cluster. */
  pods: readonly string[];
  /** Ranges behind the device. */
  home: readonly string[];
  /** Services at its home, which no packet reaches from here: refused unless something else here is meant. */
  services?: readonly string[];
}

/** Canonical text of a plan, independent of the order of its parts. */
export function normalizePlan(plan: HostPlan): HostPlan {
  return {
    ...plan,
    addresses: [...plan.addresses].sort((one, other) => compare(one.prefix, other.prefix)),
    routes: [...plan.routes].sort((one, other) => compare(one.prefix, other.prefix)),
    packets: {
      ...plan.packets,
      podRanges: unique(plan.packets.podRanges),
      remoteRanges: unique(plan.packets.remoteRanges),
      ...(plan.packets.refusedRanges !== undefined && {
        refusedRanges: unique(plan.packets.refusedRanges),
      }),
      ownAddresses: unique(plan.packets.ownAddresses),
      services: [...plan.packets.services].sort((one, other) =>
        compare(serviceText(one), serviceText(other)),
      ),
    },
    ...(plan.isolation !== undefined && { isolation: normalizeIsolation(plan.isolation) }),
  };
}

function normalizeIsolation({ tenants, resolvers, forbidden, unknown }: IsolationPlan): IsolationPlan {
  return {
    tenants: tenants
      .map(({ remoteCluster, here, pods, home, services }) => ({
        remoteCluster,
        here: unique(here),
        pods: unique(pods),
        home: unique(home),
        ...(services !== undefined && { services: unique(services) }),
      }))
      .sort((one, other) => compare(one.remoteCluster, other.remoteCluster)),
    resolvers: unique(resolvers),
    // In this order: an address in several ranges is counted for the first.
    forbidden: forbidden.map(({ what, ranges }) => ({ what, ranges: unique(ranges) })),
    ...(unknown !== undefined && {
      unknown: { ranges: unique(unknown.ranges), known: unique(unknown.known) },
    }),
  };
}

const unique = (texts: readonly string[]): string[] => [...new Set(texts)].sort();

const serviceText = (service: HostService) => `${service.address} ${service.protocol} ${service.port}`;

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
