/** Every command, loaded only when it is run or its help is shown. In the order in which help lists them. */
import type { Command } from './command.ts';

export const groups = ['Peering', 'Workloads', 'Operations', 'Debugging'] as const;
export type CommandGroup = (typeof groups)[number];

export interface Entry {
  name: string;
  /** Where help lists it; undefined: help does not list it, since the chart or a script starts it. */
  group: CommandGroup | undefined;
  /** Other names of the same command. */
  aliases: readonly string[];
  load: () => Promise<Command>;
}

const entry = (
  group: Entry['group'],
  name: string,
  load: () => Promise<{ command: Command }>,
  aliases: readonly string[] = [],
): Entry => ({ name, group, aliases, load: async () => (await load()).command });

export const entries: readonly Entry[] = [
  entry('Peering', 'token create', () => import('./commands/token-create.ts')),
  entry('Peering', 'token list', () => import('./commands/token-list.ts')),
  entry('Peering', 'token revoke', () => import('./commands/token-revoke.ts')),
  entry('Peering', 'peer', () => import('./commands/peer.ts')),
  entry('Peering', 'peer repair', () => import('./commands/peer-repair.ts')),
  entry('Peering', 'unpeer', () => import('./commands/unpeer.ts')),
  entry('Peering', 'revoke', () => import('./commands/revoke.ts')),
  entry('Workloads', 'offload namespace', () => import('./commands/offload-namespace.ts')),
  entry('Workloads', 'unoffload namespace', () => import('./commands/unoffload-namespace.ts')),
  entry('Workloads', 'cordon', () => import('./commands/cordon.ts')),
  entry('Workloads', 'drain', () => import('./commands/drain.ts')),
  entry('Workloads', 'activate', () => import('./commands/activate.ts'), ['uncordon']),
  entry('Operations', 'install', () => import('./commands/install.ts')),
  entry('Operations', 'key rotate', () => import('./commands/key-rotate.ts')),
  entry('Operations', 'remap approve', () => import('./commands/remap-approve.ts')),
  entry('Operations', 'clear', () => import('./commands/clear.ts')),
  entry('Operations', 'version', () => import('./commands/version.ts')),
  entry('Operations', 'completion', () => import('./commands/completion.ts')),
  entry('Debugging', 'status', () => import('./commands/status.ts')),
  entry('Debugging', 'doctor', () => import('./commands/doctor.ts')),
  entry('Debugging', 'trace', () => import('./commands/trace.ts')),
  entry(undefined, 'gateway', () => import('./commands/gateway.ts')),
  entry(undefined, 'daemon', () => import('./commands/daemon.ts')),
  entry(undefined, 'tunnel', () => import('./commands/tunnel.ts')),
];

/** The command whose name or alias the words begin with, and the words after that. The longest name wins. */
export function findCommand(words: readonly string[]): { entry: Entry; rest: string[] } | undefined {
  const [found] = entries
    .flatMap((each) => [each.name, ...each.aliases].map((name) => ({ each, parts: name.split(' ') })))
    .filter(({ parts }) => parts.every((word, index) => words[index] === word))
    .toSorted((a, b) => b.parts.length - a.parts.length);
  return found === undefined ? undefined : { entry: found.each, rest: words.slice(found.parts.length) };
}

/** The listed commands that begin with these words: `token` → token create, token list, token revoke. */
export function commandsBelow(words: readonly string[]): Entry[] {
  return entries.filter(({ name, group }) => {
    const parts = name.split(' ');
    return (
      group !== undefined &&
      parts.length > words.length &&
      words.every((word, index) => parts[index] === word)
    );
  });
}

/** The most edits that count as a typing error. */
const mostEdits = 2;
const mostSuggestions = 3;

/** Listed names and aliases that are close to what was typed, the closest first. */
export function suggestionsFor(words: readonly string[]): string[] {
  const typed = words.join(' ');
  if (typed === '') return [];
  return entries
    .filter(({ group }) => group !== undefined)
    .flatMap(({ name, aliases }) => [name, ...aliases])
    .map((name) => {
      const parts = name.split(' ');
      const begins = words.slice(0, parts.length).join(' ');
      const contained = typed.length >= 3 && name.includes(typed);
      return { name, edits: contained ? 1 : Math.min(distance(typed, name), distance(begins, name)) };
    })
    .filter(({ edits, name }) => edits <= Math.min(mostEdits, Math.floor(name.length / 3)))
    .toSorted((one, other) => one.edits - other.edits)
    .slice(0, mostSuggestions)
    .map(({ name }) => name);
}

/** Edits between two words: insertions, deletions, substitutions and transpositions of neighbours (optimal string alignment). */
function distance(one: string, other: string): number {
  const rows = [[...Array(other.length + 1).keys()]];
  for (let i = 1; i <= one.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const cost = one[i - 1] === other[j - 1] ? 0 : 1;
      let least = Math.min(
        (rows[i - 1]?.[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (rows[i - 1]?.[j - 1] ?? 0) + cost,
      );
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
        least = Math.min(least, (rows[i - 2]?.[j - 2] ?? 0) + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[one.length]?.[other.length] ?? 0;
}
