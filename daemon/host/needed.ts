/**
 * Addresses that a node needs and that no route of Hawser may cover: the last line of defence, whatever a plan contains.
 * Hawser's routes are looked up before those of the main table, so one that covers the API server would cut the node off,
 * and then the route could no longer be removed through the API.
 */
import { outermost } from '../../shared/net/coarse-ranges.ts';
import { contains, overlaps, parseRange, readRanges, type Range } from '../../shared/net/cidr.ts';
import { runChecked, type RunCommand } from './command.ts';
import { routingTable } from './constants.ts';
import type { HostPlan, NeededRange } from './plan.ts';
import { readRecords, textOf, type JSONRecord } from './tool-output.ts';

/** A planned route that is not added. */
export interface RefusedRoute {
  prefix: string;
  needed: NeededRange;
}

/** Destinations that the kernel reaches without Hawser. */
export interface KernelNetworks {
  /** Destinations of routes, other than default ones. */
  routes: readonly string[];
  /** Addresses of the node. */
  addresses: readonly string[];
}

/**
 * Routes this short count as default routes: those of VPN clients that keep the default route (0.0.0.0/1 and 128.0.0.0/1),
 * and all of IPv6 global unicast (2000::/3).
 */
const longestDefault = { 4: 1, 6: 3 } as const;
/** Loopback, link-local and multicast, where no remote range can lie (`shared/net/declared-ranges.ts`). */
const neverRemote = readRanges([
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '::1/128',
  'fe80::/10',
  'ff00::/8',
]);
/** Devices on which kube-proxy (IPVS) and NodeLocal DNSCache hold addresses of Services. */
const devicesOfServices: ReadonlySet<string> = new Set(['kube-ipvs0', 'nodelocaldns']);

/** Reads routes and addresses of all tables but Hawser's own. Throws CommandError. */
export async function readNetworks(
  run: RunCommand,
  device: string,
  signal: AbortSignal,
): Promise<KernelNetworks> {
  const [four, six] = await Promise.all(
    ['-4', '-6'].map((family) =>
      runChecked(run, 'ip', [family, '-json', 'route', 'show', 'table', 'all'], { signal }),
    ),
  );
  return networksIn([...readRecords(four ?? ''), ...readRecords(six ?? '')], device);
}

/** Pure. @param entries as `ip -json route show table all` writes them */
export function networksIn(entries: readonly JSONRecord[], device: string): KernelNetworks {
  const routes = new Set<string>();
  const addresses = new Set<string>();
  for (const entry of entries) {
    const [dev = '', type = 'unicast'] = [textOf(entry['dev']), textOf(entry['type'])];
    if (dev === device || textOf(entry['table']) === String(routingTable)) continue;
    const [range] = readRanges([textOf(entry['dst']) ?? '']);
    if (range === undefined || neverRemote.some((other) => contains(other, range))) continue;
    if (type === 'local') {
      if (!devicesOfServices.has(dev)) addresses.add(range.text);
    } else if (!['broadcast', 'multicast', 'anycast'].includes(type)) {
      if (range.length > longestDefault[range.family]) routes.add(range.text);
    }
  }
  return { routes: [...routes].sort(), addresses: [...addresses].sort() };
}

/**
 * Splits the plan's routes: those that cover no needed address stay, the others are returned as refused. Pure. Kernel routes
 * within the pod ranges belong to the CNI; `fabric/plan` has already decided whether a remote's range may overlap them.
 */
export function withhold(
  plan: HostPlan,
  kernel: KernelNetworks,
): { plan: HostPlan; refused: RefusedRoute[] } {
  const pods = readRanges(plan.packets.podRanges);
  const ofKernel = (texts: readonly string[], what: string) =>
    readRanges(texts)
      .filter((range) => !pods.some((own) => contains(own, range)))
      .map(({ text }): NeededRange => ({ range: text, what }));
  const needed = [
    ...(plan.needed ?? []),
    ...ofKernel(kernel.addresses, 'an address of this node'),
    ...ofKernel(kernel.routes, 'a network to which this node has a route'),
  ];
  const found = finder(needed);
  const refused = plan.routes.flatMap(({ prefix }): RefusedRoute[] => {
    const met = found(parseRange(prefix));
    return met === undefined ? [] : [{ prefix, needed: met }];
  });
  if (refused.length === 0) return { plan, refused };
  const without = new Set(refused.map(({ prefix }) => prefix));
  const kept = (prefix: string) => !without.has(prefix);
  const gone = readRanges([...without]);
  return {
    refused,
    plan: {
      ...plan,
      routes: plan.routes.filter(({ prefix }) => kept(prefix)),
      packets: {
        ...plan.packets,
        remoteRanges: plan.packets.remoteRanges.filter(kept),
        refusedRanges: [...without],
      },
      ...(plan.isolation !== undefined && {
        isolation: {
          ...plan.isolation,
          tenants: plan.isolation.tenants.map((tenant) => ({
            ...tenant,
            home: tenant.home.filter((text) => !gone.some((range) => overlaps(range, parseRange(text)))),
          })),
        },
      }),
    },
  };
}

/** Finds the entry that a range overlaps. There may be thousands: the widest ranges are sorted and disjoint, for binary search. */
function finder(needed: readonly NeededRange[]): (range: Range) => NeededRange | undefined {
  const whats = new Map<string, NeededRange>();
  for (const each of needed) {
    const [range] = readRanges([each.range]);
    if (range !== undefined && !whats.has(range.text)) whats.set(range.text, each);
  }
  const widest = outermost(readRanges([...whats.keys()]));
  const families = {
    4: widest.filter(({ family }) => family === 4),
    6: widest.filter(({ family }) => family === 6),
  };
  return (range) => {
    const all = families[range.family];
    let [low, high] = [0, all.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((all[middle] as Range).end < range.start) low = middle + 1;
      else high = middle;
    }
    const candidate = all[low];
    return candidate !== undefined && overlaps(candidate, range) ? whats.get(candidate.text) : undefined;
  };
}
