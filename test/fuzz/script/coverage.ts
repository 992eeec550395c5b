/** Which blocks of the project's own code ran since the last query, as counted by V8 in this process. */
import { Session } from 'node:inspector';
import type { Profiler } from 'node:inspector';

export class Coverage {
  readonly #session = new Session();
  readonly #part: string;

  /** @param part a part of the URLs of the files to count */
  constructor(part: string) {
    this.#part = part;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  take(): Set<string> {
    const blocks = new Set<string>();
    // Answered synchronously, since the session belongs to this thread.
    this.#session.post(
      'Profiler.takePreciseCoverage',
      (_error: Error | null, answer: Profiler.TakePreciseCoverageReturnType) => {
        for (const { url, functions } of answer.result) {
          if (!url.includes(this.#part)) continue;
          for (const { ranges } of functions)
            for (const { startOffset, endOffset, count } of ranges)
              if (count > 0) blocks.add(`${url}:${startOffset}-${endOffset}`);
        }
      },
    );
    return blocks;
  }
}
