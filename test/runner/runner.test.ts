import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findTestFiles, needOf, relativeImports } from './find.ts';
import { duration, table, totalsLine } from './report.ts';
import { runFile } from './run-file.ts';

const runner = suite('test runner');

/** The expected result of each sample: passed, failed, and the message. */
const samples: [name: string, passed: number, failed: number, said: RegExp][] = [
  ['passes', 2, 0, /^$/],
  ['fails', 1, 1, /wrong/],
  ['never-runs', 0, 1, /no suite was run/],
  ['registers-nothing', 0, 1, /without a test/],
  ['throws-on-import', 0, 1, /thrown while it was imported/],
  ['hook-throws', 0, 2, /before hook failed: Error: no cluster today/],
  ['after-hook-throws', 1, 1, /the cluster does not go/],
  ['throws-a-string', 1, 1, /just a string/],
  ['hangs', 0, 1, /not done after 3\.0 s in "waits for ever"/],
  ['never-settles', 0, 1, /before its tests did/],
  ['leaves-open', 1, 1, /left open are .*TCP/],
  ['rejects-later', 1, 1, /nobody waited/],
  ['exits', 0, 1, /ended with exit code 0 before its tests did/],
];

const sampleFile = (name: string) => join(import.meta.dirname, 'samples', `${name}.ts`);
const results = new Map(
  await Promise.all(
    samples.map(async ([name]) => {
      // The hanging one gets a short deadline; the others must not be late on a busy machine.
      const deadlineMilliseconds = name === 'hangs' ? 3000 : 60_000;
      return [name, await runFile(sampleFile(name), { deadlineMilliseconds })] as const;
    }),
  ),
);

for (const [name, passed, failed, said] of samples) {
  runner(`the runner counts a file that ${name.replaceAll('-', ' ')} as failed`, () => {
    const result = results.get(name);
    assert.ok(result);
    assert.equal(
      [result.passed, result.failed],
      [passed, failed],
      result.output + result.complaints.join('\n'),
    );
    if (failed > 0) assert.match(`${result.output}\n${result.complaints.join('\n')}`, said);
    else assert.equal(result.complaints, []);
  });
}

runner('a folder that does not exist is an error', async () => {
  try {
    await findTestFiles(['test/of-yesterday']);
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /no such file or folder/);
  }
});

runner('files that need the testbed are recognised by their imports', async () => {
  const test = (path: string) => join(import.meta.dirname, '..', path);
  assert.is(await needOf(test('cli/commands-on-a-server.test.ts')), 'testbed');
  assert.is(await needOf(test('gateway/on-node.test.ts')), 'testbed', 'through a helper');
  assert.is(await needOf(test('cli/dispatch.test.ts')), 'nothing');
  assert.equal(
    relativeImports(`import a from './a.ts';
import type { B } from './b.ts';
import { c,
  type D } from '../c.ts';
export * from './e.ts';
import './f.ts';
import { g } from 'g';
const h = await import('./h.ts');`),
    ['./a.ts', '../c.ts', './e.ts', './f.ts', './h.ts'],
  );
});

runner('the last line is the summary', () => {
  assert.is(totalsLine({ passed: 3, failed: 0, skipped: 0 }), '3 passed, 0 failed');
  assert.is(totalsLine({ passed: 3, failed: 1, skipped: 2 }), '3 passed, 1 failed, 2 skipped');
});

runner('sections are printed as a table', () => {
  const of = (name: string, failed: number, milliseconds: number) => ({
    name,
    totals: { passed: 3, failed, skipped: 0 },
    milliseconds,
    busyCores: 1.26,
  });
  assert.equal(table([of('types', 0, 9_960), of('native-build', 1, 90_000)]), [
    '      section       passed  failed  skipped  seconds  share  busy cores',
    'ok    types              3       0        0     10.0   10 %         1.3',
    'FAIL  native-build       3       1        0     90.0   90 %         1.3',
  ]);
});

runner('durations are printed in readable units', () => {
  assert.equal([duration(320), duration(65_000)], ['0.3 s', '1 m 05 s']);
});

runner.run();
