/** Time as a parameter, and the parts of every wait: sleep, backoff, deadline, linked abort; shared by all rooms. */

export interface Clock {
  /**
   * Milliseconds since 1970: for times that are shown, signed, or compared with those of others. It may jump, even backwards.
   */
  now(): number;
  /** Milliseconds since an arbitrary moment, never set back (CLOCK_MONOTONIC): for durations and deadlines. */
  monotonic(): number;
  /** Calls once after that many milliseconds; the result cancels. */
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

/** Resolves after that many milliseconds, or at once if the signal is aborted. Never rejects. */
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
 * Exponential backoff with jitter in its upper half: between half and the whole of `base · 2^failures`, in milliseconds. Jitter
 * prevents clients that failed together from retrying together.
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

/** An AbortController that is aborted with its parent, with a function to detach it. */
export interface Linked extends Disposable {
  signal: AbortSignal;
  abort: (reason?: unknown) => void;
  /** Detaches from the parent, like `abort`. Call it when the work is done; otherwise the parent holds this forever. */
  release: () => void;
}

/**
 * A controller that is also aborted by its parent. Unlike the result of AbortSignal.any, it is held by its parent until it is
 * released, so that it cannot be collected while only a wait refers to it.
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
  /** Restarts the timeout. */
  restart: (milliseconds: number) => void;
  /** Stops the timeout; the parent still counts. */
  pause: () => void;
  /** Releases timer and parent. */
  release: () => void;
}

/**
 * A signal that is aborted with the given one or after that many milliseconds, with a TimeoutError of the text `<what>: not
 * done after <seconds> s`.
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
