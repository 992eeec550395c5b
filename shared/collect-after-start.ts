/**
 * Gives back what a start has left: garbage, and the code of what runs once. An engine collects when much is allocated, and a
 * process that waits allocates little: without this it would hold for days what it needed for seconds.
 */

/** The engine's own, where it was started with `--expose-gc`. */
type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/** A start is over by then; the first time makes code old, and the second takes it. Then seldom: it stops all for some 20 ms. */
const firstMilliseconds: readonly number[] = [20_000, 40_000];
const laterMilliseconds = 1_800_000;

/**
 * Until the result is called.
 * @param after calls once after so many milliseconds; its result cancels
 */
export function collectAfterStart(
  after: (milliseconds: number, call: () => void) => () => void = afterwards,
  collect: Collect | undefined = (globalThis as { gc?: Collect }).gc,
): () => void {
  if (collect === undefined) return () => undefined;
  let cancel = () => {};
  const next = (count: number) => {
    cancel = after(firstMilliseconds[count] ?? laterMilliseconds, () => {
      collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
      next(count + 1);
    });
  };
  next(0);
  return () => cancel();
}

function afterwards(milliseconds: number, call: () => void): () => void {
  const timer = setTimeout(call, milliseconds);
  return () => clearTimeout(timer);
}
