import type { MiddlewareHandler } from 'hono';
import { Problem } from '../../../shared/errors.ts';
import { Buckets } from '../buckets.ts';
import type { GatewayContext, GatewayEnvironment } from '../context.ts';
import { sourceGroup } from '../source-group.ts';

export interface RateLimitOptions {
  /** Sustained requests per second of a source, and of a cluster. */
  perSecond: number;
  /** Burst of requests. */
  burst: number;
  /** Maximum number of sources, and of clusters, with their own bucket. */
  sources: number;
  clock: () => number;
  sourceOf: (context: GatewayContext) => string;
  /** The known cluster that signed a request; undefined if there is none. */
  signerOf: (context: GatewayContext) => string | undefined;
}

/**
 * A token bucket per source address. Many clusters may share an address (behind a NAT, and all in-band consumers, whose
 * connections come from the node that splices them). When the address's bucket is empty, a request signed by a known cluster
 * therefore uses that cluster's own bucket. Signatures are verified only in that case, before anything else is processed.
 */
export function rateLimit(options: RateLimitOptions): MiddlewareHandler<GatewayEnvironment> {
  const { perSecond, clock, sourceOf, signerOf } = options;
  const addresses = new Buckets(options);
  const clusters = new Buckets(options);
  return async (context, next) => {
    const now = clock();
    let whose = 'address';
    let wait = addresses.take(sourceGroup(sourceOf(context)), now);
    const signer = wait > 0 ? signerOf(context) : undefined;
    if (signer !== undefined) {
      whose = 'cluster';
      wait = clusters.take(signer, now);
    }
    if (wait > 0)
      throw new Problem(
        'too-many-requests',
        `Your ${whose} sent more than ${perSecond} requests per second. Try again in ${wait} s.`,
        { retryAfterSeconds: wait },
      );
    await next();
  };
}
