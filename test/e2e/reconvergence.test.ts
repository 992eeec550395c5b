/** What changes while a peering lives converges without a person, and a stream through the tunnel goes on. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PassingTraffic } from '../support/passing-traffic.ts';
import type { Pair } from '../support/peered.ts';
import { changes, play, turnsOf, type Change, type Side } from '../support/reconvergence.ts';
import { told } from '../support/told.ts';
import { trafficStory } from '../support/traffic-story.ts';

const test = suite('reconvergence');
let pair: Pair | undefined;
let traffic: PassingTraffic | undefined;

test.before(
  told(async () => {
    ({ traffic } = await trafficStory(
      'reconvergence',
      (line) => console.log(`  ${line}`),
      (made) => {
        pair = made;
      },
    ));
  }),
);

test.after(async () => {
  await traffic?.end();
  if (process.env['HAWSER_KEEP'] === undefined) await pair?.bed.down();
});

async function playAndTell(change: Change, sides: readonly Side[]): Promise<void> {
  if (pair === undefined || traffic === undefined) throw new Error('there are no clusters');
  const outcome = await play(pair, traffic, change, sides);
  const { seconds, packetsLost, streamLives } = outcome;
  console.log(`  ${change.name}, ${outcome.sides}: ${seconds} s, ${packetsLost} pings lost`);
  assert.ok(streamLives, `the stream goes on: ${traffic.streamEnded ?? 'it hangs'}`);
}

for (const change of changes)
  for (const sides of turnsOf(change))
    test(`${change.name}: ${sides.join(' and ')}`, () => playAndTell(change, sides));

test.run();
