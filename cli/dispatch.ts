/** From words to a command: finds it, reads its options, runs it, and turns errors into messages and exit codes. */
import { parseArgs } from 'node:util';
import type { Command, Invocation } from './command.ts';
import { commandsBelow, entries, findCommand } from './commands.ts';
import { CommandError, exitCodes, UsageError } from './exit.ts';
import { commandHelp, listHelp } from './help.ts';
import { Terminal } from './terminal.ts';

export interface ClusterObjects {
  stdin: NodeJS.ReadStream;
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  environment: Record<string, string | undefined>;
  signal: AbortSignal;
  now(): number;
}

/** More than a token or a document that anybody pipes in. */
const longestInput = 1024 * 1024;

/** Runs what the words say; returns the exit code. Never throws. */
export async function dispatch(words: readonly string[], objects: ClusterObjects): Promise<number> {
  const terminal = new Terminal(objects.stdout, objects.stderr, objects.environment);
  try {
    return await run(words, objects, terminal);
  } catch (error) {
    if (objects.signal.aborted) {
      terminal.say('Interrupted. What was begun goes on in the cluster.');
      return exitCodes.interrupted;
    }
    if (error instanceof CommandError) {
      terminal.say(`hawser: ${error.message}`);
      return error.exitCode;
    }
    // Not an error that somebody foresaw: its stack helps whoever mends it.
    terminal.say(`hawser: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return exitCodes.failed;
  }
}

async function run(words: readonly string[], objects: ClusterObjects, terminal: Terminal): Promise<number> {
  const found = findCommand(words);
  if (found === undefined) {
    terminal.print(await helpFor(words));
    return exitCodes.done;
  }
  const command = await found.entry.load();
  const parsed = parse(command, found.rest);
  if (parsed === 'help') {
    terminal.print(commandHelp(command));
    return exitCodes.done;
  }
  const invocation: Invocation = {
    ...parsed,
    terminal,
    environment: objects.environment,
    signal: objects.signal,
    now: () => objects.now(),
    readInput: () => readInput(objects.stdin),
    exitCode: exitCodes.done,
  };
  await command.run(invocation);
  return invocation.exitCode;
}

/** Help for words that are no command. Throws UsageError unless help was asked for. */
async function helpFor(words: readonly string[]): Promise<string> {
  const plain = words.filter((word) => word !== '--help' && word !== '-h' && word !== 'help');
  const asked = plain.length < words.length || words.length === 0;
  const exact = findCommand(plain);
  if (asked && exact !== undefined) return commandHelp(await exact.entry.load());
  const below = commandsBelow(plain);
  if (below.length === 0) {
    const near = entries.map(({ name }) => name).filter((name) => name.includes(plain.at(-1) ?? ''));
    const hint =
      near.length > 0 ? `; did you mean ${near.join(' or ')}?` : '; hawser --help lists the commands';
    throw new UsageError(`there is no command "${plain.join(' ')}"${hint}`);
  }
  const text = listHelp(await Promise.all(below.map(({ load }) => load())), plain);
  if (asked) return text;
  throw new UsageError(`"${plain.join(' ')}" is the beginning of several commands\n\n${text}`);
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
    throw new UsageError(`${first ?? ''}\nhawser ${command.name} --help shows what there is`);
  }
}

/** Standard input to its end. A terminal is asked nothing: whoever types can give an argument. */
async function readInput(stdin: NodeJS.ReadStream): Promise<string> {
  if (stdin.isTTY) throw new UsageError('nothing is piped in; give it as an argument, or by < FILE');
  let text = '';
  try {
    for await (const chunk of stdin.setEncoding('utf8')) {
      text += String(chunk);
      if (text.length > longestInput) throw new UsageError('more than 1 MiB on standard input');
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`standard input cannot be read: ${(error as Error).message}`);
  }
  if (text.trim() === '') throw new UsageError('standard input is empty');
  return text;
}
