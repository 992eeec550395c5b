/** A bounded memory of nonces. */
import { SignatureError, type ReplayCache } from './http-signatures.ts';

export interface ReplayCacheLimits {
  /** Maximum of nonces of one cluster, so that no peer uses another's room. */
  perCluster: number;
  /** Maximum of clusters with nonces. */
  clusters: number;
}

/**
 * Keeps nonces in memory, per cluster, until they expire. Without room for another one the request is refused: dropping a nonce
 * would permit its replay.
 */
export class MemoryReplayCache implements ReplayCache {
  readonly #limits: ReplayCacheLimits;
  readonly #nonces = new Map<string, Map<string, number>>();

  constructor(limits: ReplayCacheLimits) {
    this.#limits = limits;
  }

  /** Number of stored nonces. */
  get size(): number {
    return [...this.#nonces.values()].reduce((sum, nonces) => sum + nonces.size, 0);
  }

  remember(clusterID: string, nonce: string, expiresAt: number, now: number): boolean {
    let nonces = this.#nonces.get(clusterID);
    if (nonces?.has(nonce)) return false;
    if ((nonces?.size ?? 0) >= this.#limits.perCluster) this.#forget(clusterID, now);
    if (nonces === undefined && this.#nonces.size >= this.#limits.clusters)
      for (const other of this.#nonces.keys()) this.#forget(other, now);
    nonces = this.#nonces.get(clusterID) ?? new Map<string, number>();
    if (
      nonces.size >= this.#limits.perCluster ||
      (nonces.size === 0 && this.#nonces.size >= this.#limits.clusters)
    )
      throw new SignatureError(
        'TooMany',
        'signature-input',
        'too many signed requests in five minutes; try again in a minute',
      );
    nonces.set(nonce, expiresAt);
    this.#nonces.set(clusterID, nonces);
    return true;
  }

  #forget(clusterID: string, now: number): void {
    const nonces = this.#nonces.get(clusterID);
    if (nonces === undefined) return;
    for (const [nonce, expiresAt] of nonces) if (expiresAt < now) nonces.delete(nonce);
    if (nonces.size === 0) this.#nonces.delete(clusterID);
  }
}
