/** Resolves tunnel endpoints given as host names, periodically, since the address behind a name may change. */
import { addressFamily } from '../../../shared/net/cidr.ts';
import { type Log } from '../../kube/index.ts';
import { deadline, linked, sleep, systemClock, type Clock } from '../../../shared/time.ts';
import type { Resolve } from '../ports.ts';

export interface EndpointResolver {
  /**
   * `host:port` → `address:port` of each address of the name, in the resolver's order; empty until the name is resolved. From
   * this call on the name is looked up.
   */
  get(endpoint: string): readonly string[];
  /** Sets the endpoints in use; other names are dropped. */
  keep(endpoints: ReadonlySet<string>): void;
  run(signal: AbortSignal): Promise<void>;
}

const againMilliseconds = 30_000;
const retryMilliseconds = 2_000;
const lookupMilliseconds = 5_000;
/** Addresses of one name that are tried: a load balancer has a few in each zone. */
const mostAddresses = 8;

/** @param onChange called when the addresses of a name change */
export function createEndpointResolver(options: {
  resolve: Resolve;
  onChange: () => void;
  log: Log;
  clock?: Clock;
}): EndpointResolver {
  const { resolve, onChange, log, clock = systemClock } = options;
  const known = new Map<string, { addresses: readonly string[]; at: number }>();
  let wake = () => {};

  const split = (endpoint: string) => {
    const colon = endpoint.lastIndexOf(':');
    return { host: endpoint.slice(0, colon).replace(/^\[|\]$/g, ''), port: endpoint.slice(colon + 1) };
  };
  const join = (address: string, port: string) =>
    addressFamily(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;

  async function lookUp(host: string, signal: AbortSignal): Promise<void> {
    const entry = known.get(host);
    if (entry === undefined) return;
    const limit = deadline(signal, lookupMilliseconds, `looking up ${host}`, clock);
    try {
      const addresses = (await resolve(host, limit.signal)).slice(0, mostAddresses);
      entry.at = clock.monotonic() + againMilliseconds;
      if (addresses.length === 0 || sameMembers(addresses, entry.addresses)) return;
      entry.addresses = addresses;
      log.info('resolved the addresses of a tunnel endpoint', { host, addresses });
      onChange();
    } catch (error) {
      // Known addresses stay in use: the failure may be that of DNS.
      entry.at = clock.monotonic() + (entry.addresses.length === 0 ? retryMilliseconds : againMilliseconds);
      if (!signal.aborted) log.warn('failed to resolve the address of a tunnel endpoint', { host, error });
    } finally {
      limit.release();
    }
  }

  return {
    get(endpoint) {
      const { host, port } = split(endpoint);
      if (addressFamily(host) !== undefined) return [endpoint];
      const entry = known.get(host);
      if (entry === undefined) {
        known.set(host, { addresses: [], at: clock.monotonic() });
        wake();
      }
      return entry?.addresses.map((address) => join(address, port)) ?? [];
    },
    keep(endpoints) {
      const hosts = new Set([...endpoints].map((endpoint) => split(endpoint).host));
      for (const host of known.keys()) if (!hosts.has(host)) known.delete(host);
    },
    async run(signal) {
      while (!signal.aborted) {
        const due = [...known].filter(([, entry]) => entry.at <= clock.monotonic()).map(([host]) => host);
        await Promise.all(due.map((host) => lookUp(host, signal)));
        const next = Math.min(
          ...[...known.values()].map((entry) => entry.at),
          clock.monotonic() + againMilliseconds,
        );
        using pause = linked(signal);
        wake = () => pause.abort();
        await sleep(Math.max(50, next - clock.monotonic()), pause.signal, clock);
      }
    },
  };
}

/** The order that a resolver gives turns with each answer, and means nothing. */
function sameMembers(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((each) => others.includes(each));
}
