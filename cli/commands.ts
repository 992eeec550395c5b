/** Every command, loaded only when it is run or its help is shown. In the order in which help lists them. */
import type { Command } from './command.ts';

export interface Entry {
  name: string;
  load: () => Promise<Command>;
}

const entry = (name: string, load: () => Promise<{ command: Command }>): Entry => ({
  name,
  load: async () => (await load()).command,
});

export const entries: readonly Entry[] = [
  entry('token create', () => import('./commands/token-create.ts')),
  entry('token list', () => import('./commands/token-list.ts')),
  entry('token revoke', () => import('./commands/token-revoke.ts')),
  entry('peer', () => import('./commands/peer.ts')),
  entry('peer repair', () => import('./commands/peer-repair.ts')),
  entry('status', () => import('./commands/status.ts')),
  entry('doctor', () => import('./commands/doctor.ts')),
  entry('trace', () => import('./commands/trace.ts')),
  entry('offload namespace', () => import('./commands/offload-namespace.ts')),
  entry('unoffload namespace', () => import('./commands/unoffload-namespace.ts')),
  entry('cordon', () => import('./commands/cordon.ts')),
  entry('drain', () => import('./commands/drain.ts')),
  entry('activate', () => import('./commands/activate.ts')),
  entry('unpeer', () => import('./commands/unpeer.ts')),
  entry('revoke', () => import('./commands/revoke.ts')),
  entry('remap approve', () => import('./commands/remap-approve.ts')),
  entry('key rotate', () => import('./commands/key-rotate.ts')),
  entry('clear', () => import('./commands/clear.ts')),
  entry('install', () => import('./commands/install.ts')),
  entry('version', () => import('./commands/version.ts')),
  entry('completion', () => import('./commands/completion.ts')),
  entry('gateway', () => import('./commands/gateway.ts')),
  entry('daemon', () => import('./commands/daemon.ts')),
  entry('tunnel', () => import('./commands/tunnel.ts')),
];

/** The command that the words begin with, and the words after its name. The longest name wins. */
export function findCommand(words: readonly string[]): { entry: Entry; rest: string[] } | undefined {
  const matching = entries
    .filter(({ name }) => name.split(' ').every((word, index) => words[index] === word))
    .toSorted((a, b) => b.name.length - a.name.length);
  const [found] = matching;
  return found === undefined ? undefined : { entry: found, rest: words.slice(found.name.split(' ').length) };
}

/** The names that begin with these words: `token` → token create, token list, token revoke. */
export function commandsBelow(words: readonly string[]): Entry[] {
  return entries.filter(({ name }) => {
    const parts = name.split(' ');
    return parts.length > words.length && words.every((word, index) => parts[index] === word);
  });
}
