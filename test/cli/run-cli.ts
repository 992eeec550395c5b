/** Runs the command in this process, with streams that keep the output. */
import { Readable } from 'node:stream';
import { dispatch } from '../../cli/dispatch.ts';
import type { Painter } from '../../cli/terminal.ts';

/** Marks unchanged, and no styles. */
export const plain: Painter = {
  style: (_style, text) => text,
  mark: (mark) => ({ done: '✓', failed: '✗', warning: '!', unknown: '?', waiting: '…' })[mark],
};

export interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string;
  environment?: Record<string, string | undefined>;
  signal?: AbortSignal;
  /** Whether standard output and error are terminals. */
  terminal?: boolean;
}

/** Runs the words as typed after `hawser`; returns the outcome. */
export async function hawser(words: string[], options: RunOptions = {}): Promise<Outcome> {
  const written = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof written) =>
    ({
      isTTY: options.terminal === true,
      columns: 120,
      write: (text: string) => {
        written[name] += text;
        return true;
      },
    }) as unknown as NodeJS.WriteStream;
  const exitCode = await dispatch(words, {
    stdin: Readable.from(options.input === undefined ? [] : [options.input]) as unknown as NodeJS.ReadStream,
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    environment: options.environment ?? {},
    signal: options.signal ?? new AbortController().signal,
    now: Date.now,
  });
  return { exitCode, ...written };
}
