import type { MiddlewareHandler } from 'hono';
import { Problem } from '../../../shared/errors.ts';
import type { GatewayContext, GatewayEnvironment } from '../context.ts';

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

/** Buckets by source, the least recently used ones forgotten first. */
export class Buckets {
  readonly #options: Pick<RateLimitOptions, 'perSecond' | 'burst' | 'sources'>;
  readonly #buckets = new Map<string, { level: number; at: number }>();

  constructor(options: Pick<RateLimitOptions, 'perSecond' | 'burst' | 'sources'>) {
    this.#options = options;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one; 0, or whole seconds until there is one. */
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

/** Who owns an address: an IPv4 address itself, of IPv6 the /64, which one host has whole (RFC 6177). */
export function sourceGroup(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? [];
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  return [...before, ...Array.from({ length: zeros }, () => '0'), ...after]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
