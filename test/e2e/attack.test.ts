/** The attacks of `npm run attack`: each is stopped, and the hostile consumer's neighbour is not affected. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { attacks } from '../attack/attacks/index.ts';
import { attackBed, type AttackBed } from '../attack/bed.ts';
import { playAll } from '../attack/suite.ts';
import { report, rowText } from '../attack/table.ts';
import { logHookFailure } from '../support/log-hook-failure.ts';

const test = suite('a hostile consumer and its neighbour');
const log = (line: string) => console.log(`  ${line}`);
const stop = new AbortController();
let scene: AttackBed;

test.before(
  logHookFailure(async () => {
    scene = await attackBed('attack-test', stop.signal, log);
  }),
);

test.after(async () => {
  stop.abort(new Error('the test has ended'));
  if (process.env['HAWSER_KEEP'] === undefined) await scene?.bed.down();
});

test('every attack is stopped, and the neighbour loses nothing beyond the bound', async () => {
  const rows = await playAll(scene, attacks, (row) => log(rowText(row)));
  console.log(`\n${report(rows)}`);
  assert.equal(
    rows.flatMap(({ attack, problems }) => problems.map((problem) => `${attack}: ${problem}`)),
    [],
  );
  // Plus two rows: the quiet time before, and the new pod after.
  assert.is(rows.length, attacks.length + 2);
});

test.run();
