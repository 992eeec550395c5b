/** Runs the node's programs, with a deadline, input on standard input, and never through a shell. */
import { spawn } from 'node:child_process';

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. Rejects when it cannot be started, takes too long or writes too much output. */
export type RunCommand = (
  program: string,
  args: readonly string[],
  options: { input?: string; signal: AbortSignal },
) => Promise<CommandResult>;

/** A failed program: its command line, the failure, and its error output. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  constructor(command: string, what: string) {
    super(`${command}: ${what}`);
  }
}

const deadlineMilliseconds = 10_000;
/** Output limit: an nft table with all pods of a large node is a few megabytes. */
const outputLimit = 32 << 20;

/**
 * Runs programs of the system.
 *
 * @param prefix prepended to every command, such as `['ip', 'netns', 'exec', name]` in tests
 */
export function createCommandRunner(prefix: readonly string[] = []): RunCommand {
  return (program, args, { input, signal }) =>
    new Promise((resolve, reject) => {
      const [file, ...rest] = [...prefix, program, ...args];
      const command = [program, ...args].join(' ').slice(0, 200);
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const child = spawn(file ?? program, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
      const output = { stdout: '', stderr: '' };
      let failure: Error | undefined;
      const stop = (error: Error) => {
        failure ??= error;
        child.kill('SIGKILL');
      };
      const timer = setTimeout(
        () => stop(new CommandError(command, `not finished after ${deadlineMilliseconds / 1000} s`)),
        deadlineMilliseconds,
      );
      const onAbort = () => stop(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      const finish = (result: CommandResult | Error) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      for (const stream of ['stdout', 'stderr'] as const) {
        child[stream].setEncoding('utf8');
        child[stream].on('data', (text: string) => {
          output[stream] += text;
          if (output[stream].length > outputLimit)
            stop(new CommandError(command, 'its output exceeds the limit'));
        });
      }
      child.stdin.on('error', () => undefined); // it ended without reading all input; the exit code shows whether it failed
      child.stdin.end(input ?? '');
      child.on('error', (error) => finish(new CommandError(command, `cannot be started: ${error.message}`)));
      child.on('close', (code, killedBy) =>
        finish(failure ?? { code: code ?? (killedBy === null ? 1 : 128), ...output }),
      );
    });
}

/** Like the runner, but throws for an exit code other than 0, with the program's error output. */
export async function runChecked(
  run: RunCommand,
  program: string,
  args: readonly string[],
  options: { input?: string; signal: AbortSignal },
): Promise<string> {
  const result = await run(program, args, options);
  if (result.code !== 0) {
    const said = (result.stderr.trim() || result.stdout.trim() || 'no message').slice(0, 1000);
    throw new CommandError([program, ...args].join(' ').slice(0, 200), `exit code ${result.code}: ${said}`);
  }
  return result.stdout;
}
