/**
 * Frees the memory that a start leaves: garbage, and code that runs only once. An engine collects when much is allocated, and
 * an idle process allocates little: without this it would hold for days what it needed for seconds.
 */

/** The engine's own function, if it was started with `--expose-gc`. */
type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

/**
 * The start is over by then; the first collection marks code as old, and the second one frees it. Later ones are rare: each
 * pauses the process for about 20 ms.
 */
const firstMilliseconds: readonly number[] = [20_000, 40_000];
const laterMilliseconds = 1_800_000;

/**
 * Collects until the returned function is called.
 * @param after calls once after that many milliseconds; its result cancels
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
