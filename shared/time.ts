/** Time as a parameter, and what every wait is made of: sleep, backoff, deadline, linked abort. One of each for all rooms. */

export interface Clock {
  /** Milliseconds since 1970: for what is shown, signed, or compared with times of others. It may be set back, and may jump. */
  now(): number;
  /** Milliseconds since some moment, never set back (CLOCK_MONOTONIC): for what decides how long ago, and when next. */
  monotonic(): number;
  /** Calls once after so many milliseconds; the result cancels. */
  after(milliseconds: number, call: () => void): () => void;
}

/** setTimeout fires at once beyond 2^31 − 1 ms. */
const longestTimer = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
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

/**
 * Exponential backoff with jitter in its upper half: between half and the whole of `base · 2^failures`, in milliseconds.
 * Jitter keeps many clients that failed together from returning together.
 */
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

/** An AbortController that is aborted with its parent, and the way to let go of the parent. */
export interface Linked extends Disposable {
  signal: AbortSignal;
  abort: (reason?: unknown) => void;
  /** Lets go of the parent, as `abort` does. Call it when the work is done, or the parent holds this for ever. */
  release: () => void;
}

/**
 * A controller that its parent aborts too. Unlike what AbortSignal.any makes it is held by its parent until it is released,
 * so that it cannot be collected while only a wait refers to it.
 */
export function linked(parent: AbortSignal): Linked {
  const controller = new AbortController();
  const follow = () => controller.abort(parent.reason);
  if (parent.aborted) follow();
  else parent.addEventListener('abort', follow, { once: true });
  const release = () => parent.removeEventListener('abort', follow);
  return {
    signal: controller.signal,
    abort: (reason) => {
      release();
      controller.abort(reason);
    },
    release,
    [Symbol.dispose]: release,
  };
}

export interface Deadline extends Disposable {
  signal: AbortSignal;
  /** Starts the time again. */
  restart: (milliseconds: number) => void;
  /** Stops the time; the parent still counts. */
  pause: () => void;
  /** Lets go of timer and parent. */
  release: () => void;
}

/**
 * A signal that is aborted with the given one or after so many milliseconds, with a TimeoutError that says
 * `<what>: not done after <seconds> s`.
 *
 *     using limit = deadline(signal, 10_000, 'reading the Node');
 *     await kube.get(ref, limit.signal);
 */
export function deadline(
  parent: AbortSignal,
  milliseconds: number,
  what: string,
  clock: Clock = systemClock,
): Deadline {
  const inner = linked(parent);
  const start = (time: number) =>
    clock.after(time, () =>
      inner.abort(new DOMException(`${what}: not done after ${time / 1000} s`, 'TimeoutError')),
    );
  let cancel = start(milliseconds);
  const release = () => {
    cancel();
    inner.release();
  };
  return {
    signal: inner.signal,
    restart: (next) => {
      cancel();
      cancel = start(next);
    },
    pause: () => cancel(),
    release,
    [Symbol.dispose]: release,
  };
}
