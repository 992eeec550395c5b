/** Measures whether an API server answers: by asking for the same small thing again and again. */
import type { KubeClient } from './client.ts';
import { sleep, type Clock } from './clock.ts';
import { KubeError, messageOf } from './errors.ts';
import { readBody } from './transport.ts';

/** Whether a provider's API server answers, as measured. */
export interface Reachability {
  state: 'Reachable' | 'Unreachable' | 'Unknown';
  /** Milliseconds since 1970: when it became so. */
  since: number;
  message: string;
}

// A server that freezes right after an answer is known for it after 3 + 2.5 + 0.5 + 2.5 s: within ten, as people are told.
const probeMilliseconds = 3_000;
const retryMilliseconds = 500;
const probeTimeoutMilliseconds = 2_500;
/** One lost probe is no news. */
const failuresUntilUnreachable = 2;

export interface MeasureOptions {
  client: KubeClient;
  /** What is asked for; the least that one may ask for. */
  path: string;
  clock: Clock;
  /** Called with each change. */
  report(reachability: Reachability): void;
}

type State = Reachability['state'];

/**
 * Asks until the signal is aborted. The state is Unknown until the first answer, or the second failure in a row.
 * What comes back asks now, and not when it is time to.
 */
export function measureReachability(options: MeasureOptions, signal: AbortSignal): () => void {
  const { client, path, clock } = options;
  let pause = new AbortController();
  const run = async () => {
    let state: State = 'Unknown';
    let failures = 0;
    while (!signal.aborted) {
      const problem = await probe(client, path, signal);
      if (signal.aborted) return;
      failures = problem === undefined ? 0 : failures + 1;
      const next: State =
        problem === undefined ? 'Reachable' : failures >= failuresUntilUnreachable ? 'Unreachable' : state;
      if (next !== state) {
        state = next;
        options.report({ state, since: clock.now(), message: problem ?? 'it answers' });
      }
      pause = new AbortController();
      const onAbort = () => pause.abort();
      signal.addEventListener('abort', onAbort, { once: true });
      await sleep(problem === undefined ? probeMilliseconds : retryMilliseconds, pause.signal, clock);
      signal.removeEventListener('abort', onAbort);
    }
  };
  void run();
  return () => pause.abort();
}

/** Undefined: it answers, and lets us in. */
async function probe(client: KubeClient, path: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const answer = await client.raw('GET', path, { timeoutMilliseconds: probeTimeoutMilliseconds }, signal);
    const timer = setTimeout(
      () => answer.destroy(new Error('the answer stopped half-way')),
      probeTimeoutMilliseconds,
    );
    try {
      await readBody(answer, 1 << 20, 'probe');
    } finally {
      clearTimeout(timer);
    }
    const status = answer.statusCode ?? 0;
    if (status === 200) return undefined;
    if (status === 401 || status === 403) return `it refuses this cluster's identity (${status})`;
    return `it answers ${status}`;
  } catch (error) {
    return error instanceof KubeError ? `it answers ${error.status}` : messageOf(error).slice(0, 300);
  }
}
