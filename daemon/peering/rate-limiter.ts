/** A rate limiter: a token bucket whose callers wait. */
import { sleep, type Clock } from '../../shared/time.ts';

export interface RateLimiter {
  /** Resolves when one more is allowed, or when the signal is aborted. */
  wait(signal: AbortSignal): Promise<void>;
}

/** A bucket of `atOnce` tokens that is refilled by one every `intervalMilliseconds`. */
export function createRateLimiter(clock: Clock, atOnce: number, intervalMilliseconds: number): RateLimiter {
  /** When the bucket will be full again. */
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
