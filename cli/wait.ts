/** Polls the cluster until a condition holds, with progress output and a deadline. */
import { plainLine } from '../shared/plain-text.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { text, type Invocation } from './command.ts';
import { durationText, parseDuration } from './duration.ts';
import { CommandError, exitCodes } from './exit.ts';

/** Polling interval: short for a person, and little work for an API server. */
const pollMilliseconds = 150;

/** The result of one poll: the value, or what is still waited for. */
export type Look<T> = { done: T } | { waitingFor: string };

export interface WaitOptions {
  seconds: number;
  /** Shown at the deadline: what continues, and what a person can do. */
  advice: string;
}

/** Polls until done. Throws a CommandError with exit code 3 at the deadline, which names what was waited for last. */
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
