/** Addresses of this process's API server when it is configured by name. */
import { addressFamily } from '../../../shared/net/cidr.ts';
import { deadline, sleep, type Clock } from '../../../shared/time.ts';
import { messageOf, type Log } from '../../kube/index.ts';
import type { Resolve } from '../ports.ts';

const againMilliseconds = 60_000;
const retryMilliseconds = 5_000;
const lookupMilliseconds = 5_000;
/** A load balancer's name may resolve to other addresses each time; this many former ones are kept. */
const mostAddresses = 32;

export interface ApiServerOptions {
  /** Host name or address; undefined if unknown. */
  host: string | undefined;
  resolve: Resolve;
  /** Called when a new address is known. */
  onChange: () => void;
  clock: Clock;
  log: Log;
}

export class ApiServerAddresses {
  readonly #options: ApiServerOptions;
  #addresses: readonly string[] = [];

  constructor(options: ApiServerOptions) {
    this.#options = options;
    const { host } = options;
    if (host !== undefined && addressFamily(host) !== undefined) this.#addresses = [host];
  }

  /** Current and former addresses, the newest first. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Resolves the name periodically until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { host, clock } = this.#options;
    if (host === undefined || addressFamily(host) !== undefined) return;
    while (!signal.aborted) {
      const found = await this.#lookUp(host, signal);
      await sleep(found ? againMilliseconds : retryMilliseconds, signal, clock);
    }
  }

  async #lookUp(host: string, signal: AbortSignal): Promise<boolean> {
    const { resolve, onChange, clock, log } = this.#options;
    using limit = deadline(signal, lookupMilliseconds, `looking up ${host}`, clock);
    try {
      const found = await resolve(host, limit.signal);
      const before = new Set(this.#addresses);
      this.#addresses = [...new Set([...found, ...before])].slice(0, mostAddresses);
      if (found.some((address) => !before.has(address))) onChange();
      return true;
    } catch (error) {
      if (!signal.aborted)
        log.warn('failed to resolve the name of the API server', { host, error: messageOf(error) });
      return false;
    }
  }
}
