/** A minute of fuzzing each, and proof that the harnesses would see a bug: each planted one is found. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fuzz, harnesses } from './main.ts';

/** Each harness's share; what the project asks of itself is a minute. */
const SECONDS = Number(process.env['HAWSER_FUZZ_SECONDS'] ?? 60);

const PLANTED: readonly [bug: number, harness: string][] = [
  [1, 'translate'],
  [2, 'translate'],
  [3, 'translate'],
  [4, 'split'],
  [5, 'split'],
  [6, 'transport'],
  [7, 'transport'],
  [8, 'merge'],
];

for (const name of harnesses)
  test(`${name} finds nothing`, async () => {
    const result = await fuzz(name, { seconds: SECONDS });
    assert.ok(result.clean, result.output);
    console.log(`${name}: ${result.executions} executions, ${result.coverage} edges`);
  });

for (const [bug, harness] of PLANTED)
  test(`${harness} finds planted bug ${bug}`, async () => {
    const begun = Date.now();
    const result = await fuzz(harness, { seconds: 20, plantedBug: bug });
    assert.not.ok(result.clean, `bug ${bug} was not found in ${result.executions} executions`);
    console.log(`bug ${bug} found after ${Date.now() - begun} ms`);
  });

test.run();
