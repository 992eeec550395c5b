/** Which blocks of the project's own code ran since it was last asked, as V8 counts them in this very process. */
import { Session } from 'node:inspector';
import type { Profiler } from 'node:inspector';

export class Coverage {
  readonly #session = new Session();
  readonly #part: string;

  /** `part`: of the URLs of the files that count. */
  constructor(part: string) {
    this.#part = part;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  take(): Set<string> {
    const blocks = new Set<string>();
    // Answered before it returns: the session is of this thread.
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
