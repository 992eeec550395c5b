/** The demo's steps: each prints one sentence, runs, and prints its duration. */

export interface Narrator {
  /** Prints and runs a step. Its result is a sentence about the outcome. */
  step(sentence: string, act: (step: StepContext) => Promise<string | void>): Promise<void>;
  /** Shows a command with its output. */
  show(command: string, output: string): void;
  /** Number of checked claims, for the summary. */
  readonly checked: number;
}

export interface StepContext {
  /** Progress of a long step. */
  progress(line: string): void;
  /** Checks a claim; the error shows `instead`. */
  claim(sentence: string, holds: boolean, instead?: string): void;
}

/** A claim of the demo that does not hold. */
export class ClaimError extends Error {
  override readonly name = 'ClaimError';
}

export function narrator(out: NodeJS.WriteStream, total: number): Narrator {
  const colour = out.isTTY && !process.env['NO_COLOR'];
  const paint = (code: number, text: string) => (colour ? `\u001B[${code}m${text}\u001B[0m` : text);
  let number = 0;
  let checked = 0;
  let shownProgress = false;
  const clear = () => {
    if (shownProgress && out.isTTY) out.write('\r\u001B[2K');
    shownProgress = false;
  };
  return {
    get checked() {
      return checked;
    },
    async step(sentence, act) {
      number += 1;
      out.write(`${paint(1, `[${number}/${total}] ${sentence}`)}\n`);
      const begun = performance.now();
      const time = () => `${((performance.now() - begun) / 1000).toFixed(1)} s`;
      const context: StepContext = {
        progress: (line) => {
          if (out.isTTY) {
            clear();
            out.write(`      ${line.slice(0, (out.columns ?? 80) - 8)}`);
            shownProgress = true;
          } else out.write(`      ${line}\n`);
        },
        claim: (claim, holds, instead = '') => {
          if (!holds) throw new ClaimError(`${claim}: this is not so. ${instead}`);
          checked += 1;
          clear();
          out.write(`      ${paint(32, 'ok')} ${claim}\n`);
        },
      };
      try {
        const outcome = await act(context);
        clear();
        out.write(`      ${outcome === undefined ? '' : `${outcome} `}${paint(2, `(${time()})`)}\n`);
      } catch (error) {
        clear();
        out.write(`      ${paint(31, 'failed')} after ${time()}\n`);
        throw error;
      }
    },
    show(command, output) {
      clear();
      out.write(`      ${paint(2, `$ ${command}`)}\n`);
      for (const line of output.trimEnd().split('\n')) out.write(`        ${line}\n`);
    },
  };
}
