/**
 * A bucket of tokens per source address, for the time when a device is under load (paper, section 5.3: only then, and only
 * for senders that proved by mac2 to own their address).
 */
import { SOURCE_BURST, SOURCE_FORGET, SOURCE_LIMIT, SOURCE_RATE } from './constants-of-implementation.ts';

interface Bucket {
  tokens: number;
  at: number;
}

export class SourceLimiter {
  readonly #buckets = new Map<string, Bucket>();
  #sweptAt = 0;

  /** Whether one more message from `address` (no port) may be worked on. `now`: milliseconds of a monotonic clock. */
  allow(address: string, now: number): boolean {
    if (now - this.#sweptAt >= SOURCE_FORGET) this.#sweep(now);
    const bucket = this.#buckets.get(address);
    if (bucket === undefined) {
      if (this.#buckets.size >= SOURCE_LIMIT) return false;
      this.#buckets.set(address, { tokens: SOURCE_BURST - 1, at: now });
      return true;
    }
    bucket.tokens = Math.min(SOURCE_BURST, bucket.tokens + ((now - bucket.at) * SOURCE_RATE) / 1_000);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  get size(): number {
    return this.#buckets.size;
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [address, bucket] of this.#buckets)
      if (now - bucket.at >= SOURCE_FORGET) this.#buckets.delete(address);
  }
}
