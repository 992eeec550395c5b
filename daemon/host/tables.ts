/** Hawser's own nft tables: those that a plan requires, and those in the kernel. */
import { CommandError, type RunCommand } from './command.ts';
import { isolationTable, nftTable } from './constants.ts';
import { renderIsolation, watchedSeconds, type Counts } from './isolation-rules.ts';
import { renderTable } from './packet-rules.ts';
import type { HostPlan } from './plan.ts';
import { isRecord, numberOf, readListing, recordsOf, textOf, type JSONRecord } from './tool-output.ts';

/** Family and name, as nft writes them. The isolation tables come first, since a later one may fail. */
export const ownTables = [`inet ${isolationTable}`, `bridge ${isolationTable}`, `inet ${nftTable}`] as const;
export type OwnTable = (typeof ownTables)[number];

export interface ObservedTable {
  /** Content without counters and timeouts. */
  content: string;
  counts: Counts;
  /** Seconds until its first element expires; absent if none does. */
  expiresIn?: number;
}

export interface WantedTable {
  table: OwnTable;
  /** Hash of the planned content. */
  request: string;
  /** The content as a transaction for `nft -f`. */
  render: (counts: Counts) => string;
}

/** The tables of a plan. Pure. */
export function wantedTables(
  { device, packets, isolation }: HostPlan,
  podDevices: readonly string[],
): WantedTable[] {
  return [
    ...(isolation === undefined
      ? []
      : (['inet', 'bridge'] as const).map((family): WantedTable => ({
          table: `${family} ${isolationTable}`,
          request: JSON.stringify([device, isolation, podDevices]),
          render: (counts) => renderIsolation(family, device, isolation, podDevices, counts),
        }))),
    {
      table: `inet ${nftTable}`,
      request: JSON.stringify([device, packets]),
      render: () => renderTable(device, packets),
    },
  ];
}

/** Whether timed elements are due for renewal: half of their time has passed. */
export const isAging = ({ expiresIn = Infinity }: ObservedTable): boolean => expiresIn < watchedSeconds / 2;

/** Reads a table; undefined when it does not exist. */
export async function readTable(
  run: RunCommand,
  table: OwnTable,
  signal: AbortSignal,
): Promise<ObservedTable | undefined> {
  const answer = await run('nft', ['-j', 'list', 'table', ...table.split(' ')], { signal });
  if (answer.code !== 0) {
    if (/No such file or directory/.test(answer.stderr)) return undefined;
    throw new CommandError(`nft list table ${table}`, answer.stderr.trim().slice(0, 1000));
  }
  return readTableListing(answer.stdout);
}

/** Normalizes a listing: handles, counters and remaining times change without a change of rules, and sets are unordered. Pure. */
export function readTableListing(stdout: string): ObservedTable {
  const listing = readListing(stdout);
  const counters = listing.flatMap(({ counter }) => (isRecord(counter) ? [counter] : []));
  const sets = listing.flatMap(({ set }) => (isRecord(set) ? [set] : []));
  const expiries = sets
    .flatMap((set) => recordsOf(set['elem']))
    .flatMap(({ elem }) => (isRecord(elem) ? (numberOf(elem['expires']) ?? []) : []));
  return {
    content: JSON.stringify(listing.map(settled), (key, value: unknown) =>
      key === 'handle' || key === 'metainfo' || key === 'expires' ? undefined : value,
    ),
    counts: new Map(
      counters.map(({ name, packets, bytes }) => [
        textOf(name) ?? '',
        { packets: numberOf(packets) ?? 0, bytes: numberOf(bytes) ?? 0 },
      ]),
    ),
    ...(expiries.length > 0 && { expiresIn: Math.min(...expiries) }),
  };
}

/** An entry of a listing without counters, its elements sorted. */
function settled(entry: JSONRecord): unknown {
  const { counter, set, map } = entry;
  if (isRecord(counter)) return { counter: textOf(counter['name']) };
  const sorted = (value: JSONRecord) => ({
    ...value,
    elem: Array.isArray(value['elem'])
      ? (value['elem'] as unknown[]).toSorted((one, other) =>
          textOfElement(one) < textOfElement(other) ? -1 : 1,
        )
      : undefined,
  });
  if (isRecord(set)) return { set: sorted(set) };
  if (isRecord(map)) return { map: sorted(map) };
  return entry;
}

/** The remaining time of an element with a timeout is ignored in sorting. */
const textOfElement = (element: unknown): string =>
  JSON.stringify(element, (key, value: unknown) => (key === 'expires' ? undefined : value));
