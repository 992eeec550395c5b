/** Changes during a peering converge automatically, and a stream through the tunnel continues. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { only } from '../support/api-objects.ts';
import { firstRefusals } from '../support/first-refusals.ts';
import { hawser } from '../support/installation.ts';
import { echoServer, PassingTraffic } from '../support/passing-traffic.ts';
import type { Pair } from '../support/peered.ts';
import { changes, play, turnsOf, type Change, type Side } from '../support/reconvergence.ts';
import { logHookFailure } from '../support/log-hook-failure.ts';
import { atProvider, trafficStory } from '../support/traffic-story.ts';
import { apply } from '../support/workload.ts';
import { agnhostImage, down } from '../testbed/index.ts';

const name = 'reconvergence';
const test = suite(name);
let pair: Pair | undefined;
let traffic: PassingTraffic | undefined;

test.before(
  logHookFailure(async () => {
    ({ traffic } = await trafficStory(
      name,
      (line) => console.log(`  ${line}`),
      (made) => {
        pair = made;
      },
    ));
  }),
);

test.after(async () => {
  await traffic?.end();
  // By name, so that a testbed that came up only partly is deleted too.
  if (process.env['HAWSER_KEEP'] === undefined) await down(name);
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

/** Its pod ignores SIGTERM, so that its silence means a refusal. */
test('a revoked consumer is refused at once, by the API server and on the wire', async () => {
  if (pair === undefined || traffic === undefined) throw new Error('there are no clusters');
  const { consumer, provider } = pair;
  const { ends } = traffic;
  const server = 'stubborn';
  await apply(consumer, ends.namespace, echoServer(server, atProvider, agnhostImage, 20));
  const stubborn = new PassingTraffic({ ...ends, server });
  try {
    await stubborn.begin();
    const { metadata } = await only(provider, 'incomingpeerings');
    const { call, packet, ended } = await firstRefusals(pair, stubborn, () =>
      hawser(provider, ['revoke', metadata.name]),
    );
    const real = await provider.kubectl(`get pods -A -l app=${server} -o jsonpath={..phase}`.split(' '));
    assert.is(real, 'Running', 'packets are refused before the pod has ended');
    const after = (milliseconds: number) => `${(milliseconds / 1000).toFixed(2)} s`;
    console.log(`  hawser revoke: first refused API call (${call.status}) after ${after(call.milliseconds)}`);
    console.log(`  hawser revoke: no packet passes after ${after(packet.milliseconds)}`);
    assert.match(await ended, /Removed:/);
  } finally {
    await stubborn.end();
  }
});

test.run();
