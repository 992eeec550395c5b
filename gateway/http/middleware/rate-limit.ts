import type { MiddlewareHandler } from 'hono';
import { Problem } from '../../../shared/errors.ts';
import { Buckets } from '../buckets.ts';
import type { GatewayContext, GatewayEnvironment } from '../context.ts';
import { sourceGroup } from '../source-group.ts';

export interface RateLimitOptions {
  /** Requests a second that a source, and a cluster, may keep up. */
  perSecond: number;
  /** Requests that it may send at once. */
  burst: number;
  /** Sources, and clusters, with a bucket of their own. */
  sources: number;
  clock: () => number;
  sourceOf: (context: GatewayContext) => string;
  /** The known cluster that has signed a request; undefined: none has. */
  signerOf: (context: GatewayContext) => string | undefined;
}

/**
 * A token bucket per source address. Many clusters may share one (behind a NAT, and all in-band consumers, whose
 * connections end at the node that splices them), so a request that is signed by a known cluster draws on that cluster's own
 * bucket when the address has nothing left: whoever empties the one takes nothing from those who share it. Signatures
 * are looked at only then, and nothing else has been when it says no.
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
