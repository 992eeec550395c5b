/** The commands that change the observed state into the planned one, with the reason for each. Pure. */
import { hostRange, parseRange } from '../../shared/net/cidr.ts';
import { fallbackMetric, routeProtocol, routingTable, rulePriority } from './constants.ts';
import type { ObservedHost, ObservedRoute } from './observe.ts';
import { changeForeignChain } from './packet-rules.ts';
import type { HostPlan } from './plan.ts';
import { isAging, wantedTables, type OwnTable } from './tables.ts';

export interface HostDifference {
  /** Lines for `ip -batch`, by family. */
  ip: { family: 4 | 6; line: string; why: string }[];
  /** Transactions for `nft -f`. One without a reason only renews timed elements that expire soon. */
  nft: { commands: string; why?: string }[];
}

const familyOf = (prefix: string): 4 | 6 => parseRange(prefix).family;
const canonical = (prefix: string): string => parseRange(prefix).text;

/**
 * @param applied the content of the nft tables right after this same plan was applied; tables to which it has not been
 *   applied are absent
 */
export function diffHost(
  plan: HostPlan,
  observed: ObservedHost,
  applied: ReadonlyMap<OwnTable, string>,
): HostDifference {
  const result: HostDifference = { ip: [], nft: [] };
  const ip = (family: 4 | 6, line: string, why: string) => void result.ip.push({ family, line, why });
  const { device } = plan;

  // In this order: deleting an address deletes the routes with that source, and a route's source must be an existing address.
  removeRoutes(plan, observed, ip);
  if (observed.link !== undefined) {
    if (observed.link.mtu !== plan.mtu) {
      ip(4, `link set dev ${device} mtu ${plan.mtu}`, `MTU is ${observed.link.mtu}, not ${plan.mtu}`);
    }
    if (!observed.link.up) ip(4, `link set dev ${device} up`, 'the device is down');
    diffAddresses(plan, observed, ip);
  }
  addRoutes(plan, observed, ip);
  diffRules(plan, observed, ip);

  diffTables(plan, observed, applied, result);
  for (const found of observed.foreign) {
    const commands = changeForeignChain(found, device);
    if (commands.length > 0) {
      result.nft.push({
        commands: `${commands.join('\n')}\n`,
        why: `the accept rules in ${found.family} filter ${found.chain} differ from the plan`,
      });
    }
  }
  return result;
}

function diffTables(
  plan: HostPlan,
  observed: ObservedHost,
  applied: ReadonlyMap<OwnTable, string>,
  { nft }: HostDifference,
): void {
  const wanted = wantedTables(plan, observed.podDevices);
  for (const { table, render } of wanted) {
    const present = observed.tables.get(table);
    const commands = render(present?.counts ?? new Map());
    if (present === undefined) nft.push({ commands, why: `the nft table ${table} is missing` });
    else if (!applied.has(table)) nft.push({ commands, why: `the nft table ${table} is from another plan` });
    else if (applied.get(table) !== present.content)
      nft.push({ commands, why: `the nft table ${table} was changed` });
    else if (isAging(present)) nft.push({ commands });
  }
  for (const table of observed.tables.keys()) {
    if (wanted.some((each) => each.table === table)) continue;
    nft.push({ commands: `delete table ${table}\n`, why: `the nft table ${table} is not planned` });
  }
}

type Add = (family: 4 | 6, line: string, why: string) => void;

function diffAddresses(plan: HostPlan, observed: ObservedHost, ip: Add): void {
  const wanted = new Map(plan.addresses.map((address) => [address.prefix, address.scope]));
  const present = new Map(observed.addresses.map((address) => [address.prefix, address.scope]));
  for (const [prefix, scope] of present) {
    if (wanted.get(prefix) === scope) continue;
    ip(familyOf(hostOf(prefix)), `addr del ${prefix} dev ${plan.device}`, `address ${prefix} is not planned`);
  }
  for (const [prefix, scope] of wanted) {
    if (present.get(prefix) === scope) continue;
    // No duplicate address detection: there is no other host on this device.
    const nodad = familyOf(prefix) === 6 ? ' nodad' : '';
    const line = `addr replace ${prefix} dev ${plan.device} scope ${scope}${nodad}`;
    ip(familyOf(prefix), line, `address ${prefix} is missing`);
  }
}

/** A foreign address of the device may have host bits. */
const hostOf = (prefix: string): string => hostRange(prefix.split('/')[0] ?? prefix);

/** A route into the device requires that it exists. */
const wantedRoutes = (plan: HostPlan, observed: ObservedHost): Map<string, string | undefined> =>
  new Map(
    (observed.link === undefined ? [] : plan.routes).map((route) => [canonical(route.prefix), route.source]),
  );

/** Whether the route is a blackhole fallback. */
const isFallback = (route: ObservedRoute): boolean =>
  route.type === 'blackhole' && route.metric === fallbackMetric;

function removeRoute(route: ObservedRoute): string {
  const type = route.type === undefined ? '' : `${route.type} `;
  const metric = route.metric === undefined ? '' : ` metric ${route.metric}`;
  return `route del ${type}${canonical(route.prefix)} table ${routingTable}${metric}`;
}

function removeRoutes(plan: HostPlan, observed: ObservedHost, ip: Add): void {
  const wanted = wantedRoutes(plan, observed);
  const fallbacks = new Set(plan.routes.map((route) => canonical(route.prefix)));
  for (const route of observed.routes) {
    const prefix = canonical(route.prefix);
    if (isFallback(route) && fallbacks.has(prefix)) continue;
    // A planned route with another source is replaced without a gap.
    if (wanted.has(prefix) && route.type === undefined && route.device === plan.device) continue;
    ip(familyOf(prefix), removeRoute(route), `route ${prefix} is not planned`);
  }
}

function addRoutes(plan: HostPlan, observed: ObservedHost, ip: Add): void {
  const fallbacks = new Set(observed.routes.filter(isFallback).map((route) => canonical(route.prefix)));
  const mark = `table ${routingTable} proto ${routeProtocol}`;
  for (const route of plan.routes) {
    const prefix = canonical(route.prefix);
    if (fallbacks.has(prefix)) continue;
    const line = `route replace blackhole ${prefix} ${mark} metric ${fallbackMetric}`;
    ip(familyOf(prefix), line, `the fallback of route ${prefix} is missing`);
  }
  const present = new Map(
    observed.routes
      .filter((route) => route.type === undefined && route.device === plan.device)
      .map((route) => [canonical(route.prefix), route.source]),
  );
  for (const [prefix, source] of wantedRoutes(plan, observed)) {
    if (present.has(prefix) && present.get(prefix) === source) continue;
    const from = source === undefined ? '' : ` src ${source}`;
    const line = `route replace ${prefix} dev ${plan.device} ${mark}${from}`;
    ip(familyOf(prefix), line, `route ${prefix} is missing or different`);
  }
}

function diffRules(plan: HostPlan, observed: ObservedHost, ip: Add): void {
  for (const family of [4, 6] as const) {
    const needed = plan.routes.some((route) => familyOf(route.prefix) === family);
    const right = observed.rules.filter(
      (rule) => rule.family === family && rule.priority === rulePriority && rule.plain,
    );
    const rule = `priority ${rulePriority} table ${routingTable} protocol ${routeProtocol}`;
    const kept = needed ? 1 : 0;
    for (const extra of right.slice(kept)) {
      ip(family, `rule del priority ${extra.priority} table ${routingTable}`, 'duplicate rule');
    }
    for (const wrong of observed.rules) {
      if (wrong.family !== family || right.includes(wrong)) continue;
      ip(family, `rule del priority ${wrong.priority} table ${routingTable}`, 'rule is not planned');
    }
    if (needed && right.length === 0) ip(family, `rule add ${rule}`, 'rule is missing');
  }
}

/** The commands that remove everything of Hawser's except the device's addresses, which vanish with the device. */
export function diffNothing(observed: ObservedHost): HostDifference {
  const why = 'Hawser is being removed from this node';
  const result: HostDifference = { ip: [], nft: [] };
  for (const rule of observed.rules) {
    const line = `rule del priority ${rule.priority} table ${routingTable}`;
    result.ip.push({ family: rule.family, line, why });
  }
  for (const route of observed.routes) {
    result.ip.push({ family: familyOf(route.prefix), line: removeRoute(route), why });
  }
  for (const table of observed.tables.keys()) {
    result.nft.push({ commands: `delete table ${table}\n`, why });
  }
  for (const found of observed.foreign) {
    const commands = changeForeignChain(found, undefined);
    if (commands.length > 0) result.nft.push({ commands: `${commands.join('\n')}\n`, why });
  }
  return result;
}
