/** Reads the engine's shared counters, one row of u64 per peer and one for the engine, without calling into the engine. */
import type { CounterLayout, PeerCounter } from '../../native/index.d.ts';
import type { Drops } from './status.ts';
import type { Observation } from './timers.ts';

const NANOSECONDS_PER_MILLISECOND = 1e6;

export class CounterReader {
  readonly #counters: BigUint64Array;
  readonly #layout: CounterLayout;
  readonly #engineRow: number;

  constructor(counters: BigUint64Array, layout: CounterLayout, maximumPeers: number) {
    this.#counters = counters;
    this.#layout = layout;
    this.#engineRow = maximumPeers;
  }

  /** One counter of one peer; exact up to 2^53. */
  peer(peer: number, counter: PeerCounter): number {
    return this.#at(peer, counter);
  }

  /** When packets of a peer last passed, in milliseconds on the engine's clock. */
  observation(peer: number): Observation {
    return {
      lastDataReceived: this.#at(peer, 'lastDataReceived') / NANOSECONDS_PER_MILLISECOND,
      lastDataSent: this.#at(peer, 'lastDataSent') / NANOSECONDS_PER_MILLISECOND,
      lastReceived: this.#at(peer, 'lastReceived') / NANOSECONDS_PER_MILLISECOND,
      lastSent: this.#at(peer, 'lastSent') / NANOSECONDS_PER_MILLISECOND,
    };
  }

  /** Dropped packets of one peer, or those that belong to no peer. */
  drops(peer: number | 'engine'): Drops {
    const row = peer === 'engine' ? this.#engineRow : peer;
    const drops: Drops = {};
    for (const reason of this.#layout.dropReasons) {
      const count = this.#at(row, reason);
      if (count > 0) drops[reason] = count;
    }
    return drops;
  }

  #at(row: number, column: string): number {
    const position = this.#layout.columns[column];
    return position === undefined ? 0 : Number(this.#counters[row * this.#layout.stride + position] ?? 0n);
  }
}
