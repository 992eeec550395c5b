/** A scenario of steps in a fixed order, as one test. It stops at the first failed step, since later steps depend on it. */
import { suite } from 'uvu';

type Run = () => Promise<void> | void;

interface Step {
  name: string;
  run: Run;
}

export interface Scenario {
  /** Adds a step. It runs after the ones added before. */
  step(name: string, run: Run): void;
  before(hook: Run): void;
  after(hook: Run): void;
  /** Registers the test; call it last. */
  run(): void;
}

/** Runs the steps in order. A failing step's own error is thrown, with the step's name added. */
export async function runSteps(steps: readonly Step[], log: (line: string) => void): Promise<void> {
  for (const [index, { name, run }] of steps.entries()) {
    const place = `${index + 1} of ${steps.length}`;
    const startedAt = performance.now();
    try {
      await run();
    } catch (thrown) {
      const error =
        thrown instanceof Error ? thrown : new Error(`thrown, but not an Error: ${String(thrown)}`);
      error.message = `step ${place}, "${name}": ${error.message}`;
      throw error;
    }
    log(`  step ${place}, ${((performance.now() - startedAt) / 1000).toFixed(1)} s: ${name}`);
  }
}

export function scenario(name: string): Scenario {
  const test = suite(name);
  const steps: Step[] = [];
  test('every step passes, in order', () => runSteps(steps, (line) => console.log(line)));
  return {
    step(stepName, run) {
      steps.push({ name: stepName, run });
    },
    before: (hook) => test.before(hook),
    after: (hook) => test.after(hook),
    run: () => test.run(),
  };
}
