/** Help that teaches: what a command is for, what one types, what the words mean. Pure. */
import type { Command, Option } from './command.ts';

const title = 'Hawser peers Kubernetes clusters: a provider appears in its consumer as one more node.';

/** Help of several commands: all, or those that begin with the same word. */
export function listHelp(commands: readonly Command[], prefix: readonly string[]): string {
  const shown = prefix.length === 0 ? '' : ` ${prefix.join(' ')}`;
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  const way =
    prefix.length > 0
      ? ''
      : `
The way of a peering:
  provider$  hawser token create                prints a token; hand it over
  consumer$  hawser peer TOKEN                  the provider becomes a node here
  consumer$  hawser offload namespace shop      pods of shop may run there
  consumer$  hawser status                      how all of it is
  consumer$  hawser doctor                      what keeps it from working, and what to do

Commands:
`;
  return `${title}

Usage: hawser${shown} COMMAND [OPTIONS]
${way === '' ? '\n' : way}${lines.join('\n')}

hawser COMMAND --help tells more of each. It also works as a plugin: kubectl hawser.
Exit codes: 0 done, 1 failed or not Ready, 2 wrong arguments, 3 not done by the deadline.
`;
}

/** Help of one command. */
export function commandHelp(command: Command): string {
  const options = Object.entries(command.options);
  const parts = [
    `Usage: hawser ${command.name}${command.arguments === undefined ? '' : ` ${command.arguments}`}${options.length > 0 ? ' [OPTIONS]' : ''}`,
    `\n${command.description}`,
  ];
  if (options.length > 0) {
    const rows = options.map(([name, option]) => [optionText(name, option), option.help] as const);
    const width = Math.max(...rows.map(([text]) => text.length));
    parts.push(`\nOptions:\n${rows.map(([text, help]) => `  ${text.padEnd(width)}  ${help}`).join('\n')}`);
  }
  if (command.examples.length > 0) {
    parts.push(
      `\nExamples:\n${command.examples.map(([purpose, line]) => `  # ${purpose}\n  ${line}`).join('\n')}`,
    );
  }
  return `${parts.join('\n')}\n`;
}

function optionText(name: string, option: Option): string {
  const short = option.short === undefined ? '    ' : `-${option.short}, `;
  return `${short}--${name}${option.value === undefined ? '' : ` ${option.value}`}`;
}
