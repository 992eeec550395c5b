/** Concurrency slots with a maximum share per holder. */
export interface SharesOptions {
  /** Maximum number of slots in use, of all holders. */
  most: number;
  /** Maximum number of slots in use, of one holder. */
  perHolder: number;
}

/** Counts slots per holder, so that one holder cannot use all of them. Memory: one entry per holder with a slot. */
export class Shares {
  readonly #options: SharesOptions;
  readonly #held = new Map<string, number>();
  #total = 0;

  constructor(options: SharesOptions) {
    this.#options = options;
  }

  /** Number of slots in use. */
  get total(): number {
    return this.#total;
  }

  /** Number of slots in use by `holder`. */
  of(holder: string): number {
    return this.#held.get(holder) ?? 0;
  }

  /** Takes a slot until the returned function is called; undefined if none is free, or the holder's share is used up. */
  take(holder: string): (() => void) | undefined {
    const held = this.of(holder);
    if (this.#total >= this.#options.most || held >= this.#options.perHolder) return undefined;
    this.#total++;
    this.#held.set(holder, held + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#total--;
      const left = this.of(holder) - 1;
      if (left > 0) this.#held.set(holder, left);
      else this.#held.delete(holder);
    };
  }
}
