/** Token buckets by source. */
export interface BucketsOptions {
  /** Sustained rate of a source. */
  perSecond: number;
  /** Burst of a source. */
  burst: number;
  /** Maximum number of sources with their own bucket. */
  sources: number;
}

/** Buckets by source; the least recently used ones are dropped first. */
export class Buckets {
  readonly #options: BucketsOptions;
  readonly #buckets = new Map<string, { level: number; at: number }>();

  constructor(options: BucketsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes a token; returns 0, or the seconds until one is available. `now` in milliseconds. */
  take(source: string, now: number): number {
    const { perSecond, burst, sources } = this.#options;
    const bucket = this.#buckets.get(source) ?? { level: burst, at: now };
    const level = Math.min(burst, bucket.level + (Math.max(0, now - bucket.at) / 1000) * perSecond);
    this.#buckets.delete(source);
    this.#buckets.set(source, { level: level >= 1 ? level - 1 : level, at: now });
    if (this.#buckets.size > sources) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    return level >= 1 ? 0 : Math.max(1, Math.ceil((1 - level) / perSecond));
  }
}
