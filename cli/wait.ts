/** Waiting for the cluster, in sight of whoever waits, and never for ever. */
import { setTimeout as sleep } from 'node:timers/promises';
import { text, type Invocation } from './command.ts';
import { CommandError, exitCodes, UsageError } from './exit.ts';

/** How often the cluster is asked: well below what a person notices, well above what an API server does. */
const pollMilliseconds = 150;

/** What a look at the cluster found: done, or what is waited for. */
export type Look<T> = { done: T } | { waitingFor: string };

export interface WaitOptions {
  seconds: number;
  /** What is said when the time is over, after what was waited for: what goes on, and what can be done. */
  advice: string;
}

/** Looks until it is done. Throws a CommandError with exit code 3 at the deadline, which names what was waited for last. */
export async function waitUntil<T>(
  invocation: Invocation,
  options: WaitOptions,
  look: () => Promise<Look<T>>,
): Promise<T> {
  const begun = invocation.now();
  for (;;) {
    const found = await look();
    if ('done' in found) return found.done;
    const waited = invocation.now() - begun;
    if (waited > options.seconds * 1000) {
      throw new CommandError(
        `not done after ${options.seconds} s; waiting for: ${found.waitingFor}\n${options.advice}`,
        exitCodes.late,
      );
    }
    invocation.terminal.progress(`  .. ${(waited / 1000).toFixed(0)} s: ${found.waitingFor}`);
    await sleep(pollMilliseconds, undefined, { signal: invocation.signal });
  }
}

/** The value of --timeout in seconds. Throws UsageError. */
export function timeoutOf(invocation: Invocation, fallback: number): number {
  const value = text(invocation, 'timeout');
  if (value === undefined) return fallback;
  const seconds = Number(value.replace(/s$/, ''));
  if (!(seconds >= 0 && seconds <= 86_400)) {
    throw new UsageError(`--timeout ${value}: seconds are wanted, 0 to 86400`);
  }
  return seconds;
}
