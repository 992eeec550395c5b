/** Runs one command to its end, with a deadline, and returns its output. */
import { spawn } from 'node:child_process';

/** The failure of a command. */
export class CommandError extends Error {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  constructor(message: string, exitCode: number | null, stdout: string, stderr: string) {
    super(message);
    this.name = 'CommandError';
    this.exitCode = exitCode;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

export interface RunOptions {
  /** Written to standard input, which is empty otherwise. */
  input?: string | Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
  /** Default 60 000 ms. The command's whole process group is killed at the deadline. */
  timeoutMilliseconds?: number;
  signal?: AbortSignal;
  /** Called with each line of standard error as it comes. */
  onLine?: (line: string) => void;
}

export interface RunResult {
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

/** Longer output is cut off: no command of the testbed prints that much. */
const outputLimitBytes = 64 * 1024 * 1024;

/** Runs a command and returns its output, whatever its exit code. Throws only if it can't run or times out. */
export function runAnyway(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program, ...args] = command;
  if (program === undefined) throw new TypeError('an empty command cannot be run');
  const timeout = options.timeoutMilliseconds ?? 60_000;
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted) {
      reject(options.signal.reason as Error);
      return;
    }
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let kept = 0;
    let late = false;
    const killGroup = () => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It ended between the deadline and the signal.
      }
    };
    const timer = setTimeout(() => {
      late = true;
      killGroup();
    }, timeout);
    const onAbort = () => killGroup();
    options.signal?.addEventListener('abort', onAbort, { once: true });
    const keep = (chunks: Buffer[]) => (chunk: Buffer) => {
      kept += chunk.length;
      if (kept <= outputLimitBytes) chunks.push(chunk);
    };
    child.stdout.on('data', keep(out));
    child.stderr.on('data', keep(err));
    if (options.onLine !== undefined) {
      const onLine = options.onLine;
      let rest = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) onLine(line);
      });
    }
    const finish = () => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    };
    child.on('error', (error: NodeJS.ErrnoException) => {
      finish();
      const hint =
        error.code === 'ENOENT' ? `: the program is not installed or not in PATH` : `: ${error.message}`;
      reject(new Error(`cannot run ${program}${hint}`, { cause: error }));
    });
    child.on('close', (exitCode) => {
      finish();
      if (options.signal?.aborted) {
        reject(options.signal.reason as Error);
        return;
      }
      const text = (chunks: Buffer[]) => chunks.map((chunk) => chunk.toString()).join('');
      if (late) {
        reject(
          new CommandError(
            `${command.join(' ')} was not done after ${timeout / 1000} s and was ended: ${text(err).trim()}`,
            exitCode,
            text(out),
            text(err),
          ),
        );
        return;
      }
      resolve({ exitCode, stdout: Buffer.concat(out.map(toBuffer)).toString(), stderr: text(err) });
    });
    // The command may close its input early.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

function toBuffer(chunk: Buffer | string): Buffer {
  return typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
}

/** Runs a command and returns its standard output. Throws `CommandError` with its error output if it fails. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await runAnyway(command, options);
  if (result.exitCode !== 0) {
    const said = (result.stderr.trim() || result.stdout.trim()).slice(-4000);
    throw new CommandError(
      `${command.join(' ').slice(0, 600)} failed with exit code ${result.exitCode}: ${said}`,
      result.exitCode,
      result.stdout,
      result.stderr,
    );
  }
  return result.stdout;
}

/** Resolves after `milliseconds`, or rejects when the signal is aborted. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * Repeats `check` until it returns something other than `undefined` or `false`. An error of `check` counts as "not yet"; the
 * last one is reported when the deadline passes.
 */
export async function waitFor<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  options: { timeoutMilliseconds: number; intervalMilliseconds?: number; signal?: AbortSignal | undefined },
): Promise<T> {
  const deadline = performance.now() + options.timeoutMilliseconds;
  let last: unknown;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      const answer = await check();
      if (answer !== undefined && answer !== false) return answer;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`waited ${options.timeoutMilliseconds / 1000} s in vain for ${what}${why}`, {
        cause: last,
      });
    }
    await sleep(options.intervalMilliseconds ?? 100, options.signal);
  }
}
