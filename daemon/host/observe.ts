/** What is in a node's kernel now, read by the system's tools. */
import { z } from 'zod';
import { CommandError, runChecked, type RunCommand } from './command.ts';
import { nftComment, nftTable, routingTable } from './constants.ts';
import { foreignChains, type ForeignChain } from './packet-rules.ts';

export interface ObservedHost {
  /** Absent: there is no such device. */
  link?: { mtu: number; up: boolean };
  addresses: { prefix: string; scope: string }[];
  /** Of Hawser's table. */
  routes: ObservedRoute[];
  /** Rules that look Hawser's table up, by family. */
  rules: { family: 4 | 6; priority: number; plain: boolean }[];
  /** A fingerprint of Hawser's nft table without what changes by itself; absent: there is none. */
  table?: string;
  foreign: ForeignChain[];
}

export interface ObservedRoute {
  prefix: string;
  device?: string;
  source?: string;
  /** Other than `unicast`. */
  type?: string;
  metric?: number;
}

const addressesShape = z.array(
  z.looseObject({
    mtu: z.number().optional(),
    flags: z.array(z.string()).optional(),
    addr_info: z
      .array(z.looseObject({ local: z.string(), prefixlen: z.number(), scope: z.string() }))
      .optional(),
  }),
);
const routesShape = z.array(
  z.looseObject({
    dst: z.string(),
    dev: z.string().optional(),
    prefsrc: z.string().optional(),
    type: z.string().optional(),
    metric: z.number().optional(),
  }),
);
const rulesShape = z.array(
  z.looseObject({ priority: z.number(), table: z.string().optional(), src: z.string() }),
);
const nftShape = z.object({ nftables: z.array(z.record(z.string(), z.unknown())) });
const ruleShape = z.looseObject({
  handle: z.number(),
  comment: z.string().optional(),
  expr: z.array(z.unknown()),
});
const matchShape = z.object({
  match: z.object({
    left: z.object({ meta: z.object({ key: z.enum(['iifname', 'oifname']) }) }),
    right: z.string(),
  }),
});

/** Reads everything that a plan speaks of. */
export async function observeHost(
  run: RunCommand,
  device: string,
  signal: AbortSignal,
): Promise<ObservedHost> {
  const observed: ObservedHost = { addresses: [], routes: [], rules: [], foreign: [] };
  const families = [4, 6] as const;
  const input = `addr show dev ${device}\nroute show table ${routingTable}\nrule show\n`;
  const [link, table, foreign, ...byFamily] = await Promise.all([
    run('ip', ['-json', 'link', 'show', 'dev', device], { signal }),
    readTable(run, signal),
    Promise.all(foreignChains.map(({ family, chain }) => readForeignChain(run, family, chain, signal))),
    ...families.map((family) =>
      run('ip', [`-${family}`, '-json', '-force', '-batch', '-'], { input, signal }),
    ),
  ]);
  if (link.code === 0) readLink(addressesShape.parse(JSON.parse(link.stdout)), observed);
  byFamily.forEach((answer, index) => readFamily(answer.stdout, families[index] ?? 4, observed));
  if (table !== undefined) observed.table = table;
  observed.foreign.push(...foreign.filter((found) => found !== undefined));
  return observed;
}

/** One line of JSON per command that succeeded; told apart by shape, since a failed one leaves no line. */
function readFamily(stdout: string, family: 4 | 6, observed: ObservedHost): void {
  for (const line of stdout.split('\n')) {
    if (line.trim() === '') continue;
    const parsed: unknown = JSON.parse(line);
    const rules = rulesShape.safeParse(parsed);
    if (rules.success && rules.data.length > 0) {
      for (const rule of rules.data) {
        if (rule.table !== String(routingTable)) continue;
        const extras = Object.keys(rule).filter(
          (key) => !['priority', 'src', 'table', 'protocol'].includes(key),
        );
        observed.rules.push({
          family,
          priority: rule.priority,
          plain: rule.src === 'all' && extras.length === 0,
        });
      }
      continue;
    }
    const routes = routesShape.safeParse(parsed);
    if (routes.success && routes.data.length > 0) {
      for (const route of routes.data) {
        const host = route.dst.includes('/') ? route.dst : `${route.dst}/${family === 4 ? 32 : 128}`;
        observed.routes.push({
          prefix: route.dst === 'default' ? (family === 4 ? '0.0.0.0/0' : '::/0') : host,
          ...(route.dev !== undefined && { device: route.dev }),
          ...(route.prefsrc !== undefined && { source: route.prefsrc }),
          ...(route.type !== undefined && { type: route.type }),
          ...(route.metric !== undefined && { metric: route.metric }),
        });
      }
      continue;
    }
    const addresses = addressesShape.safeParse(parsed);
    if (addresses.success) readLink(addresses.data, observed);
  }
}

function readLink(links: z.infer<typeof addressesShape>, observed: ObservedHost): void {
  for (const link of links) {
    if (link.mtu === undefined) continue;
    observed.link ??= { mtu: link.mtu, up: link.flags?.includes('UP') ?? false };
    for (const address of link.addr_info ?? []) {
      // The kernel gives every device its link-local address by itself.
      if (address.scope === 'link') continue;
      observed.addresses.push({ prefix: `${address.local}/${address.prefixlen}`, scope: address.scope });
    }
  }
}

/** The listing of Hawser's table with handles left out; undefined when there is none. */
export async function readTable(run: RunCommand, signal: AbortSignal): Promise<string | undefined> {
  const answer = await run('nft', ['-j', 'list', 'table', 'inet', nftTable], { signal });
  if (answer.code !== 0) {
    if (/No such file or directory/.test(answer.stderr)) return undefined;
    throw new CommandError(`nft list table inet ${nftTable}`, answer.stderr.trim().slice(0, 1000));
  }
  return JSON.stringify(nftShape.parse(JSON.parse(answer.stdout)).nftables, (key, value: unknown) =>
    key === 'handle' || key === 'metainfo' ? undefined : value,
  );
}

async function readForeignChain(
  run: RunCommand,
  family: 'ip' | 'ip6',
  chain: 'FORWARD' | 'INPUT',
  signal: AbortSignal,
): Promise<ForeignChain | undefined> {
  const answer = await run('nft', ['-j', 'list', 'chain', family, 'filter', chain], { signal });
  if (answer.code !== 0) return undefined;
  const rules: { handle: number; match: 'iifname' | 'oifname'; device: string }[] = [];
  let foreignSeen = false;
  let inFront = true;
  for (const { rule } of nftShape.parse(JSON.parse(answer.stdout)).nftables) {
    if (rule === undefined) continue;
    const parsed = ruleShape.parse(rule);
    if (parsed.comment !== nftComment) {
      foreignSeen = true;
      continue;
    }
    if (foreignSeen) inFront = false;
    const match = matchShape.safeParse(parsed.expr[0]);
    rules.push({
      handle: parsed.handle,
      match: match.success ? match.data.match.left.meta.key : 'iifname',
      device: match.success ? match.data.match.right : '',
    });
  }
  return { family, chain, rules, inFront };
}

/** Applies nft commands as one transaction. */
export async function applyNft(run: RunCommand, commands: string, signal: AbortSignal): Promise<void> {
  await runChecked(run, 'nft', ['-f', '-'], { input: commands, signal });
}
