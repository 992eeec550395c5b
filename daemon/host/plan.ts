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
  /** What this node cannot do without: a route that would cover any of it is not made. */
  needed?: readonly NeededRange[];
  /** Absent: no consumer has anything here, and nothing is kept apart. */
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
  /** `host`: the kernel never selects it as a source. */
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
  /** Ranges whose routes were refused: what comes out of the device with such a source is dropped. */
  refusedRanges?: readonly string[];
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

/** What keeps the pods of consumers that are on this node apart from all else here. */
export interface IsolationPlan {
  tenants: readonly IsolatedTenant[];
  /** Addresses that every pod may ask at port 53. */
  resolvers: readonly string[];
  /** What no consumer's pod reaches, by what is there. */
  forbidden: readonly { what: string; ranges: readonly string[] }[];
  /**
   * This node's pod ranges, and the addresses in them of which it is known whose they are. All others may be a consumer's
   * pod that has just been started. Absent: pods here have addresses of other ranges.
   */
  unknown?: { ranges: readonly string[]; known: readonly string[] };
}

export interface IsolatedTenant {
  /** The remote cluster for which the pods run. */
  remoteCluster: string;
  /** Addresses of its pods on this node. */
  here: readonly string[];
  /** Of all its pods in this cluster. */
  pods: readonly string[];
  /** Ranges behind the device. */
  home: readonly string[];
}

/** The same plan has the same text, whatever the order of its parts. */
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
      .map(({ remoteCluster, here, pods, home }) => ({
        remoteCluster,
        here: unique(here),
        pods: unique(pods),
        home: unique(home),
      }))
      .sort((one, other) => compare(one.remoteCluster, other.remoteCluster)),
    resolvers: unique(resolvers),
    // In their order: what lies in several is counted as the first.
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
