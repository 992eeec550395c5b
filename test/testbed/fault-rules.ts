/** The nft rules of faults. Pure: text in, text out. */
import type { ClusterPlan } from './plan.ts';

export interface TrafficRequest {
  /** Names of two clusters: both directions between them. Without any of these three fields, all clusters. */
  between?: readonly [string, string];
  /** Names of clusters: one direction. */
  from?: string;
  to?: string;
  protocol?: 'tcp' | 'udp' | 'icmp';
  /** Source or destination port, as seen on the wide area; only with TCP or UDP. */
  port?: number;
  /** Matches only IP packets longer than this. */
  longerThan?: number;
  /** Default 100; with at most one decimal. */
  percent?: number;
}

export interface FirewallRequest {
  /** Ports open from the wide area, such as `['udp/51820', 'tcp/443']`. Undefined: all. */
  inbound?: readonly string[];
  /** Ports open from the cluster to the wide area. Undefined: all. */
  outbound?: readonly string[];
}

/** `ports` maps each cluster to its port of the bridge. Counters count dropped packets. */
export function bridgeRules(
  table: string,
  request: TrafficRequest,
  ports: ReadonlyMap<string, string>,
): string {
  const portOf = (cluster: string): string => {
    const port = ports.get(cluster);
    if (port === undefined) throw new Error(`the bed has no cluster ${cluster}`);
    return `"${port}"`;
  };
  const percent = request.percent ?? 100;
  if (!(percent > 0 && percent <= 100)) throw new RangeError(`${percent} percent is not between 0 and 100`);
  const everyone = `{ ${[...ports.keys()].map(portOf).join(', ')} }`;
  const directions: [string, string][] = [];
  if (request.between !== undefined) {
    const [one, other] = request.between;
    directions.push([portOf(one), portOf(other)], [portOf(other), portOf(one)]);
  } else {
    directions.push([
      request.from === undefined ? everyone : portOf(request.from),
      request.to === undefined ? everyone : portOf(request.to),
    ]);
  }
  // Not ARP: networks drop packets silently, while an unresolved address causes an error.
  const matches = ['ether type ip'];
  if (request.protocol !== undefined) matches.push(`ip protocol ${request.protocol}`);
  if (request.longerThan !== undefined) matches.push(`ip length > ${request.longerThan}`);
  const ofPort = request.port === undefined ? [''] : [`th dport ${request.port}`, `th sport ${request.port}`];
  if (request.port !== undefined && request.protocol !== 'tcp' && request.protocol !== 'udp') {
    throw new Error('a port is one of TCP or of UDP: say which protocol');
  }
  const chance = percent === 100 ? '' : `numgen random mod 1000 < ${Math.round(percent * 10)}`;
  const rules = directions.flatMap(([from, to]) =>
    ofPort.map((port) =>
      [`iifname ${from} oifname ${to}`, ...matches, port, chance, 'counter drop'].filter(Boolean).join(' '),
    ),
  );
  return tableText('bridge', table, 'filter', 'forward', '-200', rules);
}

/** Flows of this machine (`hostAddress`) and established flows pass. */
export function firewallRules(table: string, request: FirewallRequest, hostAddress: string): string {
  const rules = ['ct state established,related accept'];
  if (request.inbound !== undefined) {
    rules.push(`iifname "wan" ip saddr ${hostAddress} accept`);
    rules.push(...request.inbound.map((port) => `iifname "wan" ${openTo(port)} accept`));
    rules.push('iifname "wan" counter drop');
  }
  if (request.outbound !== undefined) {
    rules.push(`oifname "wan" ip daddr ${hostAddress} accept`);
    rules.push(...request.outbound.map((port) => `iifname "lan" oifname "wan" ${openTo(port)} accept`));
    rules.push('iifname "lan" oifname "wan" counter drop');
  }
  return tableText('ip', table, 'filter', 'forward', '-10', rules);
}

/** Matches the dialled port, before the load balancer's translation. */
function openTo(port: string): string {
  const match = /^(tcp|udp)\/(\d{1,5})$/.exec(port);
  const number = Number(match?.[2]);
  if (match === null || number < 1 || number > 65535) throw new Error(`"${port}" is not like udp/51820`);
  return `meta l4proto ${match[1]} ct original proto-dst ${match[2]}`;
}

export interface NatTranslation {
  /** A new source port for each flow, so that the other side sees an unpredictable endpoint. */
  randomPorts?: boolean;
  /** UDP leaves with another address of the cluster than all other traffic, and than before. */
  otherAddress?: boolean;
}

/** Precedes the edge's own translation; the first rule that translates a flow is decisive. */
export function natRules(
  table: string,
  cluster: ClusterPlan,
  { randomPorts = false, otherAddress = false }: NatTranslation,
): string {
  const address = otherAddress ? cluster.secondWideAreaAddress : cluster.wideAreaAddress;
  const to = randomPorts ? `${address}:1024-65535 fully-random` : address;
  const rule = `oifname "wan" ip saddr ${cluster.nodeCIDR} ip protocol udp snat to ${to}`;
  return tableText('ip', table, 'nat', 'postrouting', '90', randomPorts || otherAddress ? [rule] : []);
}

function tableText(
  family: string,
  table: string,
  type: string,
  hook: string,
  priority: string,
  rules: readonly string[],
): string {
  return [
    `table ${family} ${table} {`,
    `  chain ${hook} {`,
    `    type ${type} hook ${hook} priority ${priority}; policy accept;`,
    ...rules.map((rule) => `    ${rule}`),
    '  }',
    '}',
    '',
  ].join('\n');
}
