import type { Command } from '../command.ts';
import { completionScript, isShell, shells } from '../completion.ts';
import { UsageError } from '../exit.ts';

export const command: Command = {
  name: 'completion',
  summary: `print a completion script for ${shells.join(', ')}`,
  arguments: shells.join('|'),
  description: 'To be read by the shell; the examples show where each looks.',
  options: {},
  examples: [
    ['bash, now', 'source <(hawser completion bash)'],
    ['zsh, for good', 'hawser completion zsh > ~/.zfunc/_hawser   # with fpath+=~/.zfunc before compinit'],
    ['fish, for good', 'hawser completion fish > ~/.config/fish/completions/hawser.fish'],
  ],
  run: async ({ arguments: [shell, ...more], terminal }) => {
    if (shell === undefined || more.length > 0 || !isShell(shell)) {
      throw new UsageError(`one shell is wanted: ${shells.join(', ')}`);
    }
    const { entries } = await import('../commands.ts');
    terminal.print(completionScript(shell, await Promise.all(entries.map(({ load }) => load()))));
  },
};
