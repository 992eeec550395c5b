/** Polling the cluster until something is so, with the progress shown, and never without a deadline. */
import { plainLine } from '../shared/plain-text.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { text, type Invocation } from './command.ts';
import { durationText, parseDuration } from './duration.ts';
import { CommandError, exitCodes } from './exit.ts';

/** Shorter than a person notices, and little work for an API server. */
const pollMilliseconds = 150;

/** What one look at the cluster found: the result, or what it still waits for. */
export type Look<T> = { done: T } | { waitingFor: string };

export interface WaitOptions {
  seconds: number;
  /** Shown at the deadline, after what was waited for last: what continues, and what a person can do. */
  advice: string;
}

/** Looks until it is done. Throws a CommandError with exit code 3 at the deadline, which names what was waited for last. */
export async function waitUntil<T>(
  invocation: Invocation,
  options: WaitOptions,
  look: () => Promise<Look<T>>,
): Promise<T> {
  const startedAt = invocation.now();
  for (;;) {
    const found = await look();
    if ('done' in found) return found.done;
    const waited = invocation.now() - startedAt;
    if (waited > options.seconds * 1000) {
      throw new CommandError(
        `timed out after ${durationText(options.seconds)}; waiting for: ${plainLine(found.waitingFor)}\n${options.advice}`,
        exitCodes.late,
      );
    }
    invocation.terminal.progress(`${(waited / 1000).toFixed(0)} s: waiting for ${found.waitingFor}`);
    await sleep(pollMilliseconds, undefined, { signal: invocation.signal });
  }
}

/** The value of --timeout in seconds. Throws UsageError. */
export function timeoutOf(invocation: Invocation, fallback: number): number {
  const value = text(invocation, 'timeout');
  if (value === undefined) return fallback;
  return parseDuration('timeout', value, { least: 0, most: 86_400, shown: '0 to 24h' });
}
