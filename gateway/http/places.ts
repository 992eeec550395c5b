/** Concurrency slots of requests: a part for senders without a known key, by source, and a part for known clusters. */
import { Problem } from '../../shared/errors.ts';
import type { GatewayContext } from './context.ts';
import { Shares, type SharesOptions } from './shares.ts';
import { sourceGroup } from './source-group.ts';

export interface PlacesOptions {
  sources: SharesOptions;
  clusters: SharesOptions;
  /** The sender's address. */
  sourceOf: (context: GatewayContext) => string;
  /** The known cluster that signed the head of a request; undefined if there is none. */
  signerOf: (context: GatewayContext) => string | undefined;
  /** What the slots are for, for the message of a refusal: `reading the bodies of`. */
  doing: string;
  /** Set if the rest of a refused request is not read, so that its connection cannot be reused. */
  closes?: boolean;
  /** Called for each refused request. */
  onRefused?: () => void;
}

/**
 * A slow or busy sender uses only its source's share. Many clusters may share a source (behind a NAT, and all in-band
 * consumers), and many sources may use up the first part: then a request signed by a known cluster takes one of that cluster's
 * own slots. Signatures are verified only when the source has no slot left.
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

  /** Takes a slot until the returned function is called. Throws Problem `overloaded`. */
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
