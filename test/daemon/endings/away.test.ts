/** A peering ends with the other side frozen or gone, and with one that is back with old state. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kind } from '../../../daemon/kube/index.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { eventually } from '../clusters.ts';
import type { LineState } from '../line.ts';
import { debouncer } from './setting.ts';
import {
  asBefore,
  begin,
  consumerID,
  deadline,
  gone,
  incoming,
  issueToken,
  mark,
  peer,
  reach,
  residue,
  say,
  seconds,
  steps,
  fixture,
} from './steps.ts';

const test = suite('removal without the other side');
test.before(begin);
test.after(() => fixture?.stop());

for (const state of ['Frozen', 'Cut'] as const satisfies LineState[]) {
  test(`unpeer from a provider that is ${state} at every step completes, and reports how to remove the residue`, async () => {
    const tokens = [await issueToken(), await issueToken(), await issueToken()] as const;
    const full = await peer(tokens[0]);
    await reach(steps.at(-1)!, full);
    const bare = await peer(tokens[1], 'bare');
    await reach(
      steps.find(({ name }) => name === 'Ready')!,
      bare,
    );
    fixture.setLines(state);
    const early = await peer(tokens[2], 'early');
    // It is being asked for its identity, and no answer comes.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const begun = performance.now();
    const took = await Promise.all(
      [full, bare, early].map(async ({ metadata }) => {
        await mark(metadata.name);
        await gone(metadata.name);
        return performance.now() - begun;
      }),
    );
    say(
      `${state}: with pods ${seconds(took[0]!)}, with a node ${seconds(took[1]!)}, without an identity ${seconds(took[2]!)}`,
    );
    await asBefore('consumer');
    const left = [...(await residue(full)), ...(await residue(bare))];
    const commands = left.flatMap((line) => /hawser unpeer (\S+) --incoming/.exec(line)?.[1] ?? []);
    assert.equal(commands.toSorted(), [consumerID, `${consumerID}.bare`]);
    assert.match((await residue(early)).join(), /may have created/);
    // The provider is back, with all that it had, and its person does what was said.
    fixture.setLines('Open');
    assert.equal((await incoming()).map(({ metadata }) => metadata.name).toSorted(), commands.toSorted());
    const again = performance.now();
    for (const name of commands) {
      await fixture.provider.kube.delete({ kind: kind.incomingPeering, name }, {}, fixture.provider.signal);
    }
    await eventually('the provider has removed them', async () => (await incoming()).length === 0, deadline);
    say(`put out at the provider in ${seconds(performance.now() - again)}`);
    await asBefore('provider');
  });

  test(`peering again works at once while the provider, which was ${state}, still has the old state`, async () => {
    const peering = await peer(await issueToken());
    await reach(steps.at(-1)!, peering);
    fixture.setLines(state);
    await mark(peering.metadata.name);
    await gone(peering.metadata.name);
    assert.is((await residue(peering)).length, 1);
    fixture.setLines('Open');
    const begun = performance.now();
    const again = await peer(await issueToken());
    await reach(steps.at(-1)!, again);
    say(`peered again, with a pod running: ${seconds(performance.now() - begun)}`);
    await mark(again.metadata.name);
    await gone(again.metadata.name);
    assert.equal(await residue(again), []);
    await asBefore('consumer', 'provider');
  });

  test(`a consumer that was ${state} while it was revoked learns of it on its return, and can unpeer`, async () => {
    const peering = await peer(await issueToken());
    await reach(steps.at(-1)!, peering);
    fixture.setLines(state);
    for (const { metadata } of await incoming()) {
      await fixture.provider.kube.delete(
        { kind: kind.incomingPeering, name: metadata.name },
        {},
        fixture.provider.signal,
      );
    }
    const begun = performance.now();
    await eventually('the provider has removed it', async () => (await incoming()).length === 0, deadline);
    say(`put out without its consumer in ${seconds(performance.now() - begun)}`);
    await asBefore('provider');
    fixture.setLines('Open');
    const back = performance.now();
    await eventually(
      'the consumer reports it',
      async () => {
        const found = await fixture.outgoing(peering.metadata.name);
        return findCondition(found?.status?.conditions, 'IdentityValid')?.reason === 'PeeringEnded';
      },
      debouncer,
    );
    say(`told ${seconds(performance.now() - back)} after it was back`);
    await mark(peering.metadata.name);
    await gone(peering.metadata.name);
    assert.equal(await residue(peering), []);
    await asBefore('consumer', 'provider');
  });
}

test.run();
