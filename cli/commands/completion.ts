import type { Command } from '../command.ts';
import { completionScript, isShell, shells } from '../completion.ts';
import { UsageError } from '../exit.ts';

export const command: Command = {
  name: 'completion',
  summary: `print a shell completion script for ${shells.join(', ')}`,
  arguments: 'SHELL',
  description: `SHELL is ${shells.slice(0, -1).join(', ')} or ${shells.at(-1)}. The examples show where each shell reads the script.`,
  options: {},
  examples: [
    ['Load it into the current bash', 'source <(hawser completion bash)'],
    ['Install it for zsh (with fpath+=~/.zfunc before compinit)', 'hawser completion zsh > ~/.zfunc/_hawser'],
    ['Install it for fish', 'hawser completion fish > ~/.config/fish/completions/hawser.fish'],
  ],
  run: async ({ arguments: [shell = ''], terminal }) => {
    if (!isShell(shell)) {
      throw new UsageError(`unsupported shell "${shell}" (supported: ${shells.join(', ')})`);
    }
    const { entries } = await import('../commands.ts');
    const commands = await Promise.all(
      entries
        .filter(({ group }) => group !== undefined)
        .map(async ({ load, aliases }) => {
          const loaded = await load();
          return [loaded, ...aliases.map((name) => ({ ...loaded, name }))];
        }),
    );
    terminal.print(completionScript(shell, commands.flat()));
  },
};
