/** Tunnel endpoints that are names: looked up, and looked up again, since the address behind one may change. */
import { addressFamily } from '../../../shared/net/cidr.ts';
import { type Log } from '../../kube/index.ts';
import { deadline, linked, sleep, systemClock, type Clock } from '../../../shared/time.ts';
import type { Resolve } from '../ports.ts';

export interface EndpointResolver {
  /** `host:port` → `address:port`; undefined while nothing is known of the name. Asks for it from then on. */
  get(endpoint: string): string | undefined;
  /** The endpoints in use now; other names are forgotten. */
  keep(endpoints: ReadonlySet<string>): void;
  run(signal: AbortSignal): Promise<void>;
}

const againMilliseconds = 30_000;
const retryMilliseconds = 2_000;
const lookupMilliseconds = 5_000;

/** @param onChange called when an address is known that was not, or is another now */
export function createEndpointResolver(options: {
  resolve: Resolve;
  onChange: () => void;
  log: Log;
  clock?: Clock;
}): EndpointResolver {
  const { resolve, onChange, log, clock = systemClock } = options;
  const known = new Map<string, { address?: string; at: number }>();
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
      const addresses = await resolve(host, limit.signal);
      // The one in use stays while it is among them: a changed order does not move it.
      const address = addresses.find((each) => each === entry.address) ?? addresses[0];
      entry.at = clock.now() + againMilliseconds;
      if (address === undefined || address === entry.address) return;
      entry.address = address;
      log.info('resolved the address of a tunnel endpoint', { host, address });
      onChange();
    } catch (error) {
      // An address that is known stays in use: DNS may be what is broken.
      entry.at = clock.now() + (entry.address === undefined ? retryMilliseconds : againMilliseconds);
      if (!signal.aborted) log.warn('failed to resolve the address of a tunnel endpoint', { host, error });
    } finally {
      limit.release();
    }
  }

  return {
    get(endpoint) {
      const { host, port } = split(endpoint);
      if (addressFamily(host) !== undefined) return endpoint;
      const entry = known.get(host);
      if (entry === undefined) {
        known.set(host, { at: clock.now() });
        wake();
      }
      return entry?.address === undefined ? undefined : join(entry.address, port);
    },
    keep(endpoints) {
      const hosts = new Set([...endpoints].map((endpoint) => split(endpoint).host));
      for (const host of known.keys()) if (!hosts.has(host)) known.delete(host);
    },
    async run(signal) {
      while (!signal.aborted) {
        const due = [...known].filter(([, entry]) => entry.at <= clock.now()).map(([host]) => host);
        await Promise.all(due.map((host) => lookUp(host, signal)));
        const next = Math.min(
          ...[...known.values()].map((entry) => entry.at),
          clock.now() + againMilliseconds,
        );
        using pause = linked(signal);
        wake = () => pause.abort();
        await sleep(Math.max(50, next - clock.now()), pause.signal, clock);
      }
    },
  };
}
