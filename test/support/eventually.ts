/** Waits for a state that other processes bring about. */
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Repeats a check until it returns something other than undefined and false, and returns that. A check that throws has not
 * succeeded yet. At the deadline it throws with the awaited state, the last error, and `context()`.
 */
export async function eventually<T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  milliseconds = 15_000,
  context: () => string = () => '',
): Promise<T> {
  const end = performance.now() + milliseconds;
  for (;;) {
    let last: unknown;
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) {
      const why = last instanceof Error ? ` (${last.message})` : '';
      throw new Error(`not within ${milliseconds} ms: ${what}${why}${context()}`, { cause: last });
    }
    await delay(20);
  }
}
