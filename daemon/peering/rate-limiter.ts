/** Slows down whoever asks too often: so many at once, then so many a second. */
import { sleep, type Clock } from '../../shared/time.ts';

export interface RateLimiter {
  /** Resolves when it is time for one more, or when the signal is aborted. */
  wait(signal: AbortSignal): Promise<void>;
}

/** A bucket of `atOnce` that one more flows into every `intervalMilliseconds`. */
export function createRateLimiter(clock: Clock, atOnce: number, intervalMilliseconds: number): RateLimiter {
  /** When the bucket would be full again. */
  let fullAt = clock.monotonic();
  return {
    async wait(signal) {
      const now = clock.monotonic();
      fullAt = Math.max(fullAt, now) + intervalMilliseconds;
      const over = fullAt - now - atOnce * intervalMilliseconds;
      if (over > 0) await sleep(over, signal, clock);
    },
  };
}
