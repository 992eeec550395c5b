/** A minute of fuzzing for each harness, and proof that the harnesses find bugs: each planted one is found. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fuzz, nativeHarnesses, scriptHarnesses } from './main.ts';
import type { FuzzResult } from './main.ts';

/** Duration of each harness; the project requires a minute. */
const SECONDS = Number(process.env['HAWSER_FUZZ_SECONDS'] ?? 60);

/** A run ends when it finds the bug, after some seconds; a very busy machine gets minutes. */
const PLANTED_SECONDS = 240;

const PLANTED: readonly [bug: number, harness: string][] = [
  [1, 'translate'],
  [2, 'translate'],
  [3, 'translate'],
  [4, 'split'],
  [5, 'split'],
  [6, 'transport'],
  [7, 'transport'],
  [8, 'merge'],
  [9, 'handshake'],
  [10, 'handshake'],
  [11, 'uapi'],
  [12, 'uapi'],
  [13, 'merge'],
];

function report(result: FuzzResult): void {
  assert.ok(result.clean, result.output);
  assert.ok(result.executions > 0, 'it ran');
  console.log(`${result.name}: ${result.executions} executions, ${result.coverage} edges`);
}

/** The harnesses in TypeScript need no compiler and one CPU: they run beside the others. */
const beside = new Map<string, Promise<FuzzResult>>();
test.before(() => {
  let last: Promise<unknown> = Promise.resolve();
  for (const name of scriptHarnesses) {
    const result = last.then(() => fuzz(name, { seconds: SECONDS }));
    // The awaiting test reports a failure.
    last = result.catch(() => undefined);
    beside.set(name, result);
  }
});

for (const name of nativeHarnesses)
  test(`${name} finds nothing`, async () => report(await fuzz(name, { seconds: SECONDS })));

for (const name of scriptHarnesses)
  test(`${name} finds nothing`, async () => {
    const result = await beside.get(name);
    assert.ok(result);
    report(result);
  });

for (const [bug, harness] of PLANTED)
  test(`${harness} finds planted bug ${bug}`, async () => {
    const begun = Date.now();
    const result = await fuzz(harness, { seconds: PLANTED_SECONDS, plantedBug: bug });
    assert.not.ok(result.clean, `bug ${bug} was not found in ${result.executions} executions`);
    console.log(`bug ${bug} found after ${Date.now() - begun} ms`);
  });

test.run();
