/** A bad link as a function: when each frame that enters comes out, if it does, and how often. */

export interface Impairment {
  /** Each way. */
  delayMilliseconds?: number;
  /** Up to so much more, evenly spread; order is kept. */
  jitterMilliseconds?: number;
  /** So many percent of frames overtake those before them: they skip the delay, or are held back without one. */
  reorderPercent?: number;
  duplicatePercent?: number;
  lossPercent?: number;
  /** The same seed, the same fate of the same frames. Default 1. */
  seed?: number;
}

/** What is held back, when there is no delay that one could skip, waits this long. */
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

/** The times at which copies of a frame leave that arrives at `now`; times in milliseconds. */
export type Link = (now: number) => number[];

/** One direction of a link. It remembers the latest time promised, so that jitter alone changes no order. */
export function newLink(impairment: Impairment): Link {
  const { delayMilliseconds = 0, jitterMilliseconds = 0 } = impairment;
  const random = generator(impairment.seed ?? 1);
  const happens = (percent: number | undefined) => random() * 100 < (percent ?? 0);
  let latest = 0;
  return (now) => {
    // All dice are thrown for each frame, so that one setting doesn't change the fate that another decides.
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
