/** Places of requests: a part for senders without a known key, by source, and a part for known clusters. */
import { Problem } from '../../shared/errors.ts';
import type { GatewayContext } from './context.ts';
import { Shares, type SharesOptions } from './shares.ts';
import { sourceGroup } from './source-group.ts';

export interface PlacesOptions {
  sources: SharesOptions;
  clusters: SharesOptions;
  /** The address of whoever sent a request. */
  sourceOf: (context: GatewayContext) => string;
  /** The known cluster that has signed the head of a request; undefined: none has. */
  signerOf: (context: GatewayContext) => string | undefined;
  /** What is done in these places, for whoever gets none: `reading the bodies of`. */
  doing: string;
  /** Set when the rest of a refused request is not read: its connection is of no use any more. */
  closes?: boolean;
  /** Called for each request that got no place. */
  onRefused?: () => void;
}

/**
 * Whoever sends slowly, or much, holds the share of its own source only. Many clusters may have one source (behind a NAT, and
 * all in-band consumers), and many sources may hold all of the first part: so a request that a known cluster has signed
 * takes a place of that cluster's own then. Signatures are looked at only when the source has none left.
 */
export class Places {
  readonly #options: PlacesOptions;
  readonly #sources: Shares;
  readonly #clusters: Shares;

  constructor(options: PlacesOptions) {
    this.#options = options;
    this.#sources = new Shares(options.sources);
    this.#clusters = new Shares(options.clusters);
  }

  get held(): number {
    return this.#sources.total + this.#clusters.total;
  }

  /** Takes a place until the result is called. Throws Problem `overloaded`. */
  take(context: GatewayContext): () => void {
    const { sourceOf, signerOf, doing, closes, onRefused } = this.#options;
    const ofSource = this.#sources.take(sourceGroup(sourceOf(context)));
    if (ofSource !== undefined) return ofSource;
    const signer = signerOf(context);
    const ofCluster = signer === undefined ? undefined : this.#clusters.take(signer);
    if (ofCluster !== undefined) return ofCluster;
    onRefused?.();
    throw new Problem(
      'overloaded',
      `The API gateway is already ${doing} as many requests as it takes from your ${signer === undefined ? 'address' : 'cluster'}, or from all. Try again later.`,
      { retryAfterSeconds: 2, ...(closes && { headers: { connection: 'close' } }) },
    );
  }
}
