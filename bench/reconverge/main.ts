/**
 * `npm run bench:reconverge`: two real clusters with a TCP stream and 20 pings per second between two pods through the tunnel,
 * during all kinds of changes on one side, on the other, or on both at once. Prints a table of the time until both had
 * converged and of the lost pings; `--json` prints the same as data.
 */
import { parseArgs } from 'node:util';
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import { changes, play, turnsOf, type Outcome } from '../../test/support/reconvergence.ts';
import type { PassingTraffic } from '../../test/support/passing-traffic.ts';
import type { Pair } from '../../test/support/peered.ts';
import { trafficStory } from '../../test/support/traffic-story.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
  },
});

const columns = ['change', 'sides', 'seconds', 'packetsLost', 'streamLives'] as const;

function table(outcomes: readonly Outcome[]): string {
  const rows = [
    ['change', 'sides', 'seconds', 'pings lost', 'stream'],
    ...outcomes.map((outcome) =>
      columns.map((column) =>
        column === 'streamLives' ? (outcome.streamLives ? 'goes on' : 'broke') : String(outcome[column]),
      ),
    ),
  ];
  const widths = rows[0]?.map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

await ensureNeeds(['clusters']);
let pair: Pair | undefined;
let traffic: PassingTraffic | undefined;
const outcomes: Outcome[] = [];
try {
  const story = await trafficStory('bench-reconverge', console.error, (made) => {
    pair = made;
  });
  traffic = story.traffic;
  for (const change of changes.filter(({ name }) => name.includes(values.only))) {
    for (const sides of turnsOf(change)) {
      const outcome = await play(story.pair, traffic, change, sides);
      outcomes.push(outcome);
      console.error(JSON.stringify(outcome));
      if (!outcome.streamLives) await traffic.again();
    }
  }
} finally {
  console.log(values.json ? JSON.stringify(outcomes, null, 2) : table(outcomes));
  await traffic?.end();
  await pair?.bed.down();
}
