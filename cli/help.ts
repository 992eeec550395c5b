/** Help texts: what a command is for, what a person types, and what it leads to. Pure. */
import type { Command, Option } from './command.ts';

const title = 'Hawser peers Kubernetes clusters: a provider appears in its consumer as one more node.';

const gettingStarted = `Getting started:
  provider$  hawser token create             issue a peering token
  consumer$  hawser peer TOKEN               add the provider as a node
  consumer$  hawser offload namespace shop   let pods of a namespace run on the provider
  consumer$  hawser status                   show the peering
  consumer$  hawser doctor                   find problems, and how to fix them
`;

/** Commands of one section of a list. */
export interface Section {
  title: string;
  commands: readonly Pick<Command, 'name' | 'summary'>[];
}

/** Help of several commands: all of them by group, or those that begin with the same word. */
export function listHelp(sections: readonly Section[], prefix: readonly string[]): string {
  const shown = prefix.length === 0 ? '' : ` ${prefix.join(' ')}`;
  const all = sections.flatMap(({ commands }) => commands);
  const width = Math.max(...all.map(({ name }) => name.length));
  const lists = sections.map(
    (section) =>
      `${section.title}:\n${section.commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`).join('')}`,
  );
  return `${title}

Usage: hawser${shown} COMMAND [OPTIONS]

${prefix.length === 0 ? `${gettingStarted}\n` : ''}${lists.join('\n')}
Use "hawser COMMAND --help" for more information about a command.
With a link named kubectl-hawser in the PATH, "kubectl hawser" works too.
Exit codes: 0 success, 1 failure or not Ready, 2 invalid arguments, 3 timed out, 130 interrupted.
`;
}

export function usageLine(command: Command): string {
  const positional = command.arguments === undefined ? '' : ` ${command.arguments}`;
  const options = Object.keys(command.options).length > 0 ? ' [OPTIONS]' : '';
  return `hawser ${command.name}${positional}${options}`;
}

/** Help of one command. */
export function commandHelp(command: Command, aliases: readonly string[] = []): string {
  const options = Object.entries(command.options);
  const parts = [`Usage: ${usageLine(command)}`, `\n${command.description}`];
  if (aliases.length > 0) parts.push(`\nAliases: ${[command.name, ...aliases].join(', ')}`);
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

/** `-n, --namespace NAME` */
export function optionText(name: string, option: Option): string {
  const short = option.short === undefined ? '    ' : `-${option.short}, `;
  return `${short}--${name}${option.value === undefined ? '' : ` ${option.value}`}`;
}
