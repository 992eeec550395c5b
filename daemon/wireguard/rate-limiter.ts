/**
 * A token bucket per source address, used while a device is under load (paper, section 5.3: only then, and only for senders
 * that proved by mac2 that they own their address).
 */
import { SOURCE_BURST, SOURCE_FORGET, SOURCE_LIMIT, SOURCE_RATE } from './constants-of-implementation.ts';

const IPV6_GROUPS = 8;
/** An IPv6 host usually controls all 2^64 addresses of its subnet (RFC 4291, section 2.5.4), so /64s are limited. */
const SUBNET_GROUPS = 4;

/** The key that an endpoint in the engine's text form is counted under: an IPv4 address, or an IPv6 /64. */
export function limitedSource(endpoint: string): string {
  const address = endpoint.slice(0, endpoint.lastIndexOf(':'));
  if (!address.startsWith('[')) return address;
  const [text = '', scope = ''] = address.slice(1, -1).split('%');
  const [head = '', tail] = text.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':');
    // The engine writes a trailing IPv4 address (::ffff:192.0.2.1), which stands for two groups.
    const width = after.length + (after.at(-1)?.includes('.') === true ? 1 : 0);
    while (groups.length + width < IPV6_GROUPS) groups.push('0');
    groups.push(...after);
  }
  return `${groups.slice(0, SUBNET_GROUPS).join(':')}::/64%${scope}`;
}

interface Bucket {
  tokens: number;
  at: number;
}

export class SourceLimiter {
  readonly #buckets = new Map<string, Bucket>();
  #sweptAt = 0;

  /** Whether one more message from `address` (see `limitedSource`) may be processed. `now`: monotonic milliseconds. */
  allow(address: string, now: number): boolean {
    if (now - this.#sweptAt >= SOURCE_FORGET) this.#sweep(now);
    const bucket = this.#buckets.get(address);
    if (bucket === undefined) {
      if (this.#buckets.size >= SOURCE_LIMIT) return false;
      this.#buckets.set(address, { tokens: SOURCE_BURST - 1, at: now });
      return true;
    }
    bucket.tokens = Math.min(SOURCE_BURST, bucket.tokens + ((now - bucket.at) * SOURCE_RATE) / 1_000);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  get size(): number {
    return this.#buckets.size;
  }

  #sweep(now: number): void {
    this.#sweptAt = now;
    for (const [address, bucket] of this.#buckets)
      if (now - bucket.at >= SOURCE_FORGET) this.#buckets.delete(address);
  }
}
