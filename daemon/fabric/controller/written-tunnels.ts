/**
 * All Tunnels, including recent writes that the cache may not show yet, so that two remotes are not assigned the same free
 * range. Listing them from the server at each write would cost the square of their number.
 */
import type { Tunnel } from '../../../shared/api/network.ts';
import type { Informer } from '../../kube/index.ts';
import type { Clock } from '../../../shared/time.ts';

/** A cache is never this stale. */
const cacheMilliseconds = 5_000;

export class WrittenTunnels {
  readonly #informer: Pick<Informer<Tunnel>, 'list'>;
  readonly #clock: Clock;
  readonly #written = new Map<string, { tunnel: Tunnel; until: number }>();

  constructor(informer: Pick<Informer<Tunnel>, 'list' | 'onChange'>, clock: Clock) {
    this.#informer = informer;
    this.#clock = clock;
    informer.onChange((name, tunnel, previous) => {
      const written = this.#written.get(name)?.tunnel.metadata;
      const seen = (tunnel ?? previous)?.metadata;
      if (written === undefined || seen?.uid !== written.uid) return;
      if (tunnel === undefined || (seen?.generation ?? 0) >= (written.generation ?? 0))
        this.#written.delete(name);
    });
  }

  /** The object as the server returned it. */
  note(tunnel: Tunnel): void {
    this.#written.set(tunnel.metadata.name, { tunnel, until: this.#clock.monotonic() + cacheMilliseconds });
  }

  list(): readonly Tunnel[] {
    for (const [name, { until }] of this.#written)
      if (until <= this.#clock.monotonic()) this.#written.delete(name);
    if (this.#written.size === 0) return this.#informer.list();
    const others = this.#informer.list().filter(({ metadata }) => !this.#written.has(metadata.name));
    return [...others, ...[...this.#written.values()].map(({ tunnel }) => tunnel)];
  }
}
