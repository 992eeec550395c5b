/** Reads foreign kernel parameters and nft rules that may affect the tunnel's packets. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunCommand } from './command.ts';
import { ownTables } from './tables.ts';
import { isRecord, numberOf, readListing, recordsOf, textOf, type JSONRecord } from './tool-output.ts';

export interface ForeignHost {
  /** Kernel parameters by name; those that do not exist are absent. */
  parameters: Readonly<Record<string, string>>;
  chains: readonly BaseChain[];
}

/** A base chain (one attached to a hook) of a table that is not Hawser's. */
export interface BaseChain {
  family: string;
  table: string;
  name: string;
  /** `filter`, `nat`, `route` */
  type: string;
  hook: string;
  priority: number;
  policy: string;
  /** Expressions of each rule, as nft writes them in JSON. */
  rules: readonly (readonly JSONRecord[])[];
}

/** Reads a kernel parameter such as `net/ipv4/ip_forward`; undefined when it does not exist. */
export type ReadParameter = (path: string) => Promise<string | undefined>;

export const readParameter: ReadParameter = async (path) => {
  try {
    return (await readFile(join('/proc/sys', path), 'utf8')).trim();
  } catch {
    return undefined;
  }
};

/** Hooks that forwarded packets traverse. */
const hooks: ReadonlySet<string> = new Set(['prerouting', 'forward', 'postrouting']);
/** Limit; a node usually has a dozen. */
const chainLimit = 64;

/** Parameters that affect the tunnel's packets. */
export function parametersFor(device: string): string[] {
  return ['net/ipv4/ip_forward', 'net/ipv4/conf/all/rp_filter', `net/ipv4/conf/${device}/rp_filter`];
}

const isOwn = (chain: JSONRecord): boolean =>
  ownTables.some((table) => table === `${textOf(chain['family'])} ${textOf(chain['table'])}`);

/** Reads the state. Parts that cannot be read are left out, since the result only informs people. */
export async function observeForeign(
  run: RunCommand,
  read: ReadParameter,
  device: string,
  signal: AbortSignal,
): Promise<ForeignHost> {
  const parameters: Record<string, string> = {};
  for (const path of parametersFor(device)) {
    const value = await read(path);
    if (value !== undefined) parameters[path] = value;
  }
  const answer = await run('nft', ['-j', 'list', 'chains'], { signal });
  if (answer.code !== 0) return { parameters, chains: [] };
  const listed = readListing(answer.stdout)
    .flatMap(({ chain }) => (isRecord(chain) ? [chain] : []))
    .filter((chain) => hooks.has(textOf(chain['hook']) ?? ''))
    .filter((chain) => !isOwn(chain))
    .slice(0, chainLimit);
  const chains: BaseChain[] = [];
  for (const chain of listed) {
    const [family, table, name] = [chain['family'], chain['table'], chain['name']].map(
      (each) => textOf(each) ?? '',
    ) as [string, string, string];
    const content = await run('nft', ['-j', 'list', 'chain', family, table, name], { signal });
    if (content.code !== 0) continue;
    chains.push({
      family,
      table,
      name,
      type: textOf(chain['type']) ?? '',
      hook: textOf(chain['hook']) ?? '',
      priority: numberOf(chain['prio']) ?? 0,
      policy: textOf(chain['policy']) ?? 'accept',
      rules: readListing(content.stdout).flatMap(({ rule }) =>
        isRecord(rule) ? [recordsOf(rule['expr'])] : [],
      ),
    });
  }
  return { parameters, chains };
}
