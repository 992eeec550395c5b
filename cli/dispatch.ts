/** Finds the command, parses its options, runs it, and converts errors to messages and exit codes. */
import { parseArgs } from 'node:util';
import type { Command, Invocation } from './command.ts';
import { commandsBelow, findCommand, groups, suggestionsFor, type Entry } from './commands.ts';
import { CommandError, exitCodes, UsageError } from './exit.ts';
import { commandHelp, listHelp, type Section } from './help.ts';
import { Terminal } from './terminal.ts';

/** The process as the command sees it. */
export interface Surroundings {
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  environment: Record<string, string | undefined>;
  signal: AbortSignal;
  now(): number;
}

/** Longer than any token or document that a command reads. */
const longestInput = 1024 * 1024;

/** Runs the command given by the words; returns the exit code. Never throws. */
export async function dispatch(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const terminal = new Terminal(surroundings.stdout, surroundings.stderr, surroundings.environment);
  try {
    // As in most programs.
    if (words.length === 1 && words[0] === '--version')
      return await run(['version', '--client'], surroundings, terminal);
    return await run(words, surroundings, terminal);
  } catch (error) {
    if (surroundings.signal.aborted) {
      terminal.log('Interrupted. What was started continues in the cluster; see "hawser status".');
      return exitCodes.interrupted;
    }
    if (error instanceof CommandError) {
      terminal.log(`hawser: ${error.message}`);
      return error.exitCode;
    }
    // An unexpected error is a bug of this program, so its stack is shown for the report.
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    terminal.log(`hawser: unexpected error; please report it with this stack\n${stack}`);
    return exitCodes.failed;
  }
}

async function run(
  words: readonly string[],
  surroundings: Surroundings,
  terminal: Terminal,
): Promise<number> {
  const found = findCommand(words);
  if (found === undefined) {
    terminal.print(await helpFor(words));
    return exitCodes.done;
  }
  const command = await found.entry.load();
  const parsed = parse(command, found.rest);
  if (parsed === 'help') {
    terminal.print(commandHelp(command, found.entry.aliases));
    return exitCodes.done;
  }
  checkArguments(command, parsed.arguments);
  const invocation: Invocation = {
    ...parsed,
    terminal,
    environment: surroundings.environment,
    signal: surroundings.signal,
    now: () => surroundings.now(),
    readInput: () => readInput(surroundings.stdin),
    exitCode: exitCodes.done,
  };
  await command.run(invocation);
  return invocation.exitCode;
}

/** Help for words that name no command. Throws UsageError unless help was requested. */
async function helpFor(words: readonly string[]): Promise<string> {
  const plain = words.filter((word) => word !== '--help' && word !== '-h' && word !== 'help');
  const requested = plain.length < words.length || words.length === 0;
  const exact = findCommand(plain);
  if (requested && exact !== undefined) return commandHelp(await exact.entry.load(), exact.entry.aliases);
  const below = commandsBelow(plain);
  if (below.length === 0) {
    const near = suggestionsFor(plain).map((name) => `"hawser ${name}"`);
    const hint =
      near.length > 0
        ? `\nDid you mean ${near.join(' or ')}?`
        : '\nUse "hawser --help" for the list of commands.';
    throw new UsageError(`unknown command "${plain.join(' ')}"${hint}`);
  }
  if (requested) return listHelp(await sectionsOf(below, plain), plain);
  const names = below.map(({ name }) => `"hawser ${name}"`);
  throw new UsageError(
    `"${plain.join(' ')}" needs a subcommand: ${names.join(', ')}\nUse "hawser ${plain.join(' ')} --help" for more information.`,
  );
}

/** By group, or as one section where all begin with the same word. */
async function sectionsOf(below: readonly Entry[], prefix: readonly string[]): Promise<Section[]> {
  const commands = (some: readonly Entry[]) => Promise.all(some.map(({ load }) => load()));
  if (prefix.length > 0) return [{ title: 'Commands', commands: await commands(below) }];
  return Promise.all(
    groups.map(async (group) => ({
      title: group,
      commands: await commands(below.filter((each) => each.group === group)),
    })),
  );
}

/** Throws UsageError unless there are as many arguments as the command takes. */
function checkArguments(command: Command, given: readonly string[]): void {
  const names = command.arguments?.split(' ') ?? [];
  const least = names.filter((name) => !name.startsWith('[')).length;
  const most = names.length;
  if (given.length >= least && given.length <= most) return;
  const count = (number: number) => `${number} argument${number === 1 ? '' : 's'}`;
  const takes =
    most === 0
      ? 'takes no arguments'
      : least === most
        ? `requires exactly ${count(most)}: ${names.join(' ')}`
        : least === 0
          ? `takes at most ${count(most)}: ${names.join(' ')}`
          : `requires ${least} to ${count(most)}: ${names.join(' ')}`;
  throw new UsageError(
    `"hawser ${command.name}" ${takes} (got ${given.length})\nUse "hawser ${command.name} --help" for more information.`,
  );
}

function parse(
  command: Command,
  words: string[],
): { arguments: string[]; options: Invocation['options'] } | 'help' {
  const options: Record<string, { type: 'string' | 'boolean'; short?: string; multiple?: boolean }> = {
    help: { type: 'boolean', short: 'h' },
  };
  for (const [name, { type, short, multiple }] of Object.entries(command.options)) {
    options[name] = {
      type,
      ...(short !== undefined && { short }),
      ...(multiple !== undefined && { multiple }),
    };
  }
  try {
    const { values, positionals } = parseArgs({ args: words, options, allowPositionals: true });
    if (values['help'] === true) return 'help';
    return { arguments: positionals, options: values };
  } catch (error) {
    const [first] = (error as Error).message.split('. ');
    throw new UsageError(`${first ?? ''}\nUse "hawser ${command.name} --help" for the options.`);
  }
}

/** Standard input to its end. A terminal is not read: a person who types can give an argument. */
async function readInput(stdin: NodeJS.ReadStream): Promise<string> {
  if (stdin.isTTY)
    throw new UsageError('standard input is a terminal; pipe the input, or give it as an argument');
  let text = '';
  try {
    for await (const chunk of stdin.setEncoding('utf8')) {
      text += String(chunk);
      if (text.length > longestInput) throw new UsageError('standard input is longer than 1 MiB');
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`failed to read standard input: ${(error as Error).message}`);
  }
  if (text.trim() === '') throw new UsageError('standard input is empty');
  return text;
}
