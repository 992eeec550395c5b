/** Measures whether an API server answers, by repeating a small request. */
import type { KubeClient } from '../../shared/kube/client.ts';
import { linked, sleep, type Clock } from '../../shared/time.ts';
import { KubeError, messageOf } from '../../shared/kube/errors.ts';

/** Whether a provider's API server answers, as measured. */
export interface Reachability {
  state: 'Reachable' | 'Unreachable' | 'Unknown';
  /** Milliseconds since 1970: when it became so. */
  since: number;
  message: string;
}

// A server that freezes right after an answer is detected after 3 + 1 + 3 s, which leaves time to write the status within the
// documented ten seconds.
const probeMilliseconds = 3_000;
/** Without an answer by then, a second request is sent on another connection while the first continues. */
const secondMilliseconds = 1_000;
const retryMilliseconds = 500;
const probeTimeoutMilliseconds = 3_000;

export interface MeasureOptions {
  client: KubeClient;
  /** Path of the request, which needs only minimal rights. */
  path: string;
  clock: Clock;
  /** Called at each change. */
  report(reachability: Reachability): void;
}

type State = Reachability['state'];

/**
 * Probes until the signal is aborted. The state is Unknown until the first answer or the first double failure. Returns a
 * function that probes at once.
 */
export function measureReachability(options: MeasureOptions, signal: AbortSignal): () => void {
  const { client, path, clock } = options;
  let wake: () => void = () => undefined;
  const wait = async (milliseconds: number) => {
    using pause = linked(signal);
    wake = () => pause.abort();
    await sleep(milliseconds, pause.signal, clock);
  };
  const ask = () => probe(client, path, signal);
  /** A single lost probe is ignored: undefined as soon as one of two probes succeeds, otherwise the problem of the second. */
  const askTwice = async (): Promise<string | undefined> => {
    let answered: { problem: string | undefined } | undefined;
    const first = ask().then((problem) => {
      answered = { problem };
      wake();
      return problem;
    });
    await wait(secondMilliseconds);
    if (answered !== undefined) {
      if (answered.problem === undefined) return undefined;
      await wait(retryMilliseconds);
    }
    return eitherAnswers(first, ask());
  };
  const run = async () => {
    let state: State = 'Unknown';
    while (!signal.aborted) {
      const problem = await askTwice();
      if (signal.aborted) return;
      const next: State = problem === undefined ? 'Reachable' : 'Unreachable';
      if (next !== state) {
        state = next;
        options.report({ state, since: clock.now(), message: problem ?? 'the API server answers' });
      }
      await wait(problem === undefined ? probeMilliseconds : retryMilliseconds);
    }
  };
  void run();
  return () => wake();
}

async function eitherAnswers(
  first: Promise<string | undefined>,
  second: Promise<string | undefined>,
): Promise<string | undefined> {
  const answered = async (asked: Promise<string | undefined>) => {
    const problem = await asked;
    if (problem !== undefined) throw new Error(problem);
  };
  try {
    await Promise.any([answered(first), answered(second)]);
    return undefined;
  } catch {
    return second;
  }
}

/** Undefined if it answers and accepts the identity. */
async function probe(client: KubeClient, path: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { status } = await client.text(
      'GET',
      path,
      { timeoutMilliseconds: probeTimeoutMilliseconds, maximumBytes: 1 << 20 },
      signal,
    );
    if (status === 200) return undefined;
    if (status === 401 || status === 403) return `the API server refuses this cluster's identity (${status})`;
    return `the API server answers ${status}`;
  } catch (error) {
    return error instanceof KubeError
      ? `the API server answers ${error.status}`
      : messageOf(error).slice(0, 300);
  }
}
