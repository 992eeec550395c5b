/** A bounded memory of nonces. */
import { SignatureError, type ReplayCache } from './http-signatures.ts';

export interface ReplayCacheLimits {
  /** Nonces of one key; so no peer can use up another's room. */
  perKey: number;
  /** Keys that have nonces. */
  keys: number;
}

/**
 * Keeps nonces in memory, per key, until they expire. When there is no room for another one the request is refused:
 * forgetting one would let it be replayed.
 */
export class MemoryReplayCache implements ReplayCache {
  readonly #limits: ReplayCacheLimits;
  readonly #nonces = new Map<string, Map<string, number>>();

  constructor(limits: ReplayCacheLimits) {
    this.#limits = limits;
  }

  /** Nonces that are remembered now. */
  get size(): number {
    return [...this.#nonces.values()].reduce((sum, nonces) => sum + nonces.size, 0);
  }

  remember(key: string, nonce: string, expiresAt: number, now: number): boolean {
    let nonces = this.#nonces.get(key);
    if (nonces?.has(nonce)) return false;
    if ((nonces?.size ?? 0) >= this.#limits.perKey) this.#forget(key, now);
    if (nonces === undefined && this.#nonces.size >= this.#limits.keys)
      for (const other of this.#nonces.keys()) this.#forget(other, now);
    nonces = this.#nonces.get(key) ?? new Map<string, number>();
    if (nonces.size >= this.#limits.perKey || (nonces.size === 0 && this.#nonces.size >= this.#limits.keys))
      throw new SignatureError(
        'TooMany',
        'signature-input',
        'too many signed requests in five minutes; try again in a minute',
      );
    nonces.set(nonce, expiresAt);
    this.#nonces.set(key, nonces);
    return true;
  }

  #forget(key: string, now: number): void {
    const nonces = this.#nonces.get(key);
    if (nonces === undefined) return;
    for (const [nonce, expiresAt] of nonces) if (expiresAt < now) nonces.delete(nonce);
    if (nonces.size === 0) this.#nonces.delete(key);
  }
}
