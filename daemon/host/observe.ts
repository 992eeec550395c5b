/** Reads the current state of a node's kernel by the system's tools. */
import { runChecked, type RunCommand } from './command.ts';
import { nftComment, routingTable } from './constants.ts';
import { findPodDevices } from './pod-devices.ts';
import { foreignChains, type ForeignChain, type ForeignRule } from './packet-rules.ts';
import { ownTables, readTable, type ObservedTable, type OwnTable } from './tables.ts';
import {
  isRecord,
  numberOf,
  readListing,
  readRecords,
  recordsOf,
  textOf,
  type JSONRecord,
} from './tool-output.ts';

export interface ObservedHost {
  /** Absent if the device does not exist. */
  link?: { mtu: number; up: boolean };
  addresses: { prefix: string; scope: string }[];
  /** Routes of Hawser's table. */
  routes: ObservedRoute[];
  /** Rules that select Hawser's table, by family. */
  rules: { family: 4 | 6; priority: number; plain: boolean }[];
  /** Hawser's own nft tables that exist. */
  tables: ReadonlyMap<OwnTable, ObservedTable>;
  /** Devices by which the consumers' pods on this node are reached. */
  podDevices: readonly string[];
  foreign: ForeignChain[];
}

export interface ObservedRoute {
  prefix: string;
  device?: string;
  source?: string;
  /** Route type, if not `unicast`. */
  type?: string;
  metric?: number;
}

/** Reads everything that a plan may contain. */
export async function observeHost(
  run: RunCommand,
  device: string,
  signal: AbortSignal,
  podAddresses: readonly string[] = [],
): Promise<ObservedHost> {
  const families = [4, 6] as const;
  const input = `addr show dev ${device}\nroute show table ${routingTable}\nrule show\n`;
  const [link, tables, podDevices, foreign, ...byFamily] = await Promise.all([
    run('ip', ['-json', 'link', 'show', 'dev', device], { signal }),
    readOwnTables(run, signal),
    podAddresses.length === 0 ? [] : findPodDevices(run, podAddresses, signal),
    Promise.all(
      foreignChains.map(({ family, chain }) => readForeignChain(run, family, chain, device, signal)),
    ),
    ...families.map((family) =>
      run('ip', [`-${family}`, '-json', '-force', '-batch', '-'], { input, signal }),
    ),
  ]);
  const observed: ObservedHost = { addresses: [], routes: [], rules: [], foreign: [], tables, podDevices };
  if (link.code === 0) readLink(readRecords(link.stdout), observed);
  byFamily.forEach((answer, index) => readFamily(answer.stdout, families[index] ?? 4, observed));
  observed.foreign.push(...foreign.filter((found) => found !== undefined));
  return observed;
}

/** One line of JSON per successful command; a failed one prints none, so results are recognised by their shape. */
function readFamily(stdout: string, family: 4 | 6, observed: ObservedHost): void {
  for (const line of stdout.split('\n')) {
    for (const entry of readRecords(line)) {
      if (entry['ifname'] !== undefined) readLink([entry], observed);
      else if (entry['dst'] !== undefined && entry['priority'] === undefined)
        readRoute(entry, family, observed);
      else readRule(entry, family, observed);
    }
  }
}

function readRule(rule: JSONRecord, family: 4 | 6, observed: ObservedHost): void {
  const priority = numberOf(rule['priority']);
  if (priority === undefined || rule['table'] !== String(routingTable)) return;
  const extras = Object.keys(rule).filter((key) => !['priority', 'src', 'table', 'protocol'].includes(key));
  observed.rules.push({ family, priority, plain: rule['src'] === 'all' && extras.length === 0 });
}

function readRoute(route: JSONRecord, family: 4 | 6, observed: ObservedHost): void {
  const destination = textOf(route['dst']) ?? '';
  const [device, source, type] = [textOf(route['dev']), textOf(route['prefsrc']), textOf(route['type'])];
  const metric = numberOf(route['metric']);
  const everything = family === 4 ? '0.0.0.0/0' : '::/0';
  const whole = destination.includes('/') ? destination : `${destination}/${family === 4 ? 32 : 128}`;
  observed.routes.push({
    prefix: destination === 'default' ? everything : whole,
    ...(device !== undefined && { device }),
    ...(source !== undefined && { source }),
    ...(type !== undefined && { type }),
    ...(metric !== undefined && { metric }),
  });
}

function readLink(links: readonly JSONRecord[], observed: ObservedHost): void {
  for (const link of links) {
    const mtu = numberOf(link['mtu']);
    if (mtu === undefined) continue;
    const flags = Array.isArray(link['flags']) ? (link['flags'] as unknown[]) : [];
    observed.link ??= { mtu, up: flags.includes('UP') };
    for (const address of recordsOf(link['addr_info'])) {
      const scope = textOf(address['scope']) ?? '';
      // The kernel assigns the link-local address of every device.
      if (scope === 'link' || address['local'] === undefined) continue;
      observed.addresses.push({
        prefix: `${textOf(address['local'])}/${numberOf(address['prefixlen'])}`,
        scope,
      });
    }
  }
}

/** Which of Hawser's tables exist. */
export async function readOwnTables(
  run: RunCommand,
  signal: AbortSignal,
): Promise<ReadonlyMap<OwnTable, ObservedTable>> {
  const found = await Promise.all(
    ownTables.map(async (table) => [table, await readTable(run, table, signal)] as const),
  );
  return new Map(found.flatMap(([table, read]) => (read === undefined ? [] : [[table, read] as const])));
}

async function readForeignChain(
  run: RunCommand,
  family: 'ip' | 'ip6',
  chain: 'FORWARD' | 'INPUT',
  device: string,
  signal: AbortSignal,
): Promise<ForeignChain | undefined> {
  const answer = await run('nft', ['-j', 'list', 'chain', family, 'filter', chain], { signal });
  if (answer.code !== 0) return undefined;
  const rules = readListing(answer.stdout).flatMap(({ rule }): ForeignRule[] => {
    if (!isRecord(rule)) return [];
    const handle = numberOf(rule['handle']) ?? 0;
    const expressions = recordsOf(rule['expr']);
    const own = readOwn(expressions, device);
    if (own !== undefined) return [{ handle, own, final: false }];
    // Any other rule with Hawser's comment differs from the plan, and is replaced.
    if (rule['comment'] === nftComment)
      return [{ handle, own: { match: 'iifname', device: '' }, final: false }];
    return [{ handle, final: isFinal(expressions) }];
  });
  return { family, chain, rules };
}

/** Whether a rule is an unconditional drop or reject, as nft or iptables writes it. */
function isFinal(expressions: readonly JSONRecord[]): boolean {
  const rest = expressions.filter((each) => !('counter' in each));
  const [only] = rest;
  if (rest.length !== 1 || only === undefined) return false;
  const xt = only['xt'];
  return 'drop' in only || 'reject' in only || (isRecord(xt) && xt['name'] === 'REJECT');
}

/**
 * A rule that accepts what passes Hawser's device, and does nothing else: `{ match: { left: { meta: { key } }, right } }`
 * and a verdict. It is known by that, and not by its comment: programs that save and restore the whole table with
 * iptables (kube-router, k3s, netfilter-persistent) turn the comment into a match of iptables'.
 */
function readOwn(
  expressions: readonly JSONRecord[],
  device: string,
): { match: 'iifname' | 'oifname'; device: string } | undefined {
  const [first, ...rest] = expressions.filter((each) => !('counter' in each) && !isComment(each));
  const match = isRecord(first?.['match']) ? first['match'] : {};
  const left = isRecord(match['left']) ? match['left'] : {};
  const meta = isRecord(left['meta']) ? left['meta'] : {};
  const key = meta['key'];
  if ((key !== 'iifname' && key !== 'oifname') || match['op'] !== '==' || match['right'] !== device)
    return undefined;
  return rest.length === 1 && rest[0] !== undefined && 'accept' in rest[0]
    ? { match: key, device }
    : undefined;
}

/** The comment of a rule that iptables wrote. */
const isComment = ({ xt }: JSONRecord): boolean => isRecord(xt) && xt['name'] === 'comment';

/** Applies nft commands as one transaction. */
export async function applyNft(run: RunCommand, commands: string, signal: AbortSignal): Promise<void> {
  await runChecked(run, 'nft', ['-f', '-'], { input: commands, signal });
}
