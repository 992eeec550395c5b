/** Places that are held for a while, with a share per holder. */
export interface SharesOptions {
  /** Places at one time, of all holders. */
  most: number;
  /** Places at one time of one holder. */
  perHolder: number;
}

/** Counts who holds how many places, so that one holder cannot have all of them. Memory: one entry per holder with a place. */
export class Shares {
  readonly #options: SharesOptions;
  readonly #held = new Map<string, number>();
  #total = 0;

  constructor(options: SharesOptions) {
    this.#options = options;
  }

  /** Places that are held now. */
  get total(): number {
    return this.#total;
  }

  /** Places that `holder` has now. */
  of(holder: string): number {
    return this.#held.get(holder) ?? 0;
  }

  /** Takes a place until the result is called; undefined: none is left, or none of the holder's share. */
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
