/** An impaired link as a function: when and how often each frame that enters comes out, if at all. */

export interface Impairment {
  /** In each direction. */
  delayMilliseconds?: number;
  /** Maximum additional delay, uniformly distributed; the order is kept. */
  jitterMilliseconds?: number;
  /** Percentage of frames that overtake earlier ones: they skip the delay, or are held back if there is none. */
  reorderPercent?: number;
  duplicatePercent?: number;
  lossPercent?: number;
  /** The same seed gives the same results for the same frames. Default 1. */
  seed?: number;
}

/** How long a reordered frame is held back if there is no delay to skip. */
const holdMilliseconds = 10;

/** A small generator with a period of 2³²: mulberry32, by T. Ettinger; public domain. Yields 0 ≤ x < 1. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The departure times of the copies of a frame that arrives at `now`; in milliseconds. */
export type Link = (now: number) => number[];

/** One direction of a link. It keeps the latest departure time, so that jitter alone changes no order. */
export function newLink(impairment: Impairment): Link {
  const { delayMilliseconds = 0, jitterMilliseconds = 0 } = impairment;
  const random = generator(impairment.seed ?? 1);
  const happens = (percent: number | undefined) => random() * 100 < (percent ?? 0);
  let latest = 0;
  return (now) => {
    // Draw all random numbers for each frame, so that one setting does not change the results of another.
    const lost = happens(impairment.lossPercent);
    const doubled = happens(impairment.duplicatePercent);
    const reordered = happens(impairment.reorderPercent);
    const jitter = random() * jitterMilliseconds;
    if (lost) return [];
    let time: number;
    if (reordered) time = delayMilliseconds > 0 ? now : now + holdMilliseconds;
    else {
      time = Math.max(latest, now + delayMilliseconds + jitter);
      latest = time;
    }
    return doubled ? [time, time] : [time];
  };
}
