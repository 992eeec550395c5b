/** Token buckets by source. */
export interface BucketsOptions {
  /** What a source may keep up. */
  perSecond: number;
  /** What it may take at once. */
  burst: number;
  /** Sources with a bucket of their own. */
  sources: number;
}

/** Buckets by source, the least recently used ones forgotten first. */
export class Buckets {
  readonly #options: BucketsOptions;
  readonly #buckets = new Map<string, { level: number; at: number }>();

  constructor(options: BucketsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one; 0, or whole seconds until there is one. `now` in milliseconds. */
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
