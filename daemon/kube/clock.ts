/** Time as a parameter. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls once after so many milliseconds; the result cancels. */
  after(milliseconds: number, call: () => void): () => void;
}

/** setTimeout fires at once beyond 2^31 − 1 ms. */
const longestTimer = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(milliseconds, call) {
    const timer = setTimeout(call, Math.min(Math.max(0, milliseconds), longestTimer));
    return () => clearTimeout(timer);
  },
};

/** Resolves after so many milliseconds, or at once when the signal is aborted. Never rejects. */
export function sleep(milliseconds: number, signal: AbortSignal, clock: Clock = systemClock): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(milliseconds, done);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** Exponential backoff with full jitter in its upper half: between half and the whole of `base · 2^failures`. */
export function backoff(
  failures: number,
  {
    base = 200,
    most = 30_000,
    random = Math.random,
  }: { base?: number; most?: number; random?: () => number } = {},
): number {
  const whole = Math.min(most, base * 2 ** Math.min(Math.max(0, failures), 30));
  return whole / 2 + (whole / 2) * random();
}

/** A signal that is aborted with the given one or after so many milliseconds; `release` lets go of both. */
export function deadline(
  signal: AbortSignal,
  milliseconds: number,
  what: string,
  clock: Clock = systemClock,
): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  const cancel = clock.after(milliseconds, () =>
    controller.abort(new Error(`${what}: not done after ${milliseconds / 1000} s`)),
  );
  return {
    signal: controller.signal,
    release: () => {
      cancel();
      signal.removeEventListener('abort', onAbort);
    },
  };
}
