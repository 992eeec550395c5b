/** A peering ends with the other side frozen or gone, or back with old state. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kind } from '../../../daemon/kube/index.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { eventually } from '../../support/eventually.ts';
import type { LineState } from '../line.ts';
import { debouncer } from './setting.ts';
import {
  assertRestored,
  startClusters,
  consumerID,
  deadline,
  waitUntilGone,
  incomingPeerings,
  issueToken,
  deletePeering,
  peer,
  reachStep,
  residue,
  log,
  seconds,
  steps,
  fixture,
} from './steps.ts';

const test = suite('removal without the other side');
test.before(startClusters);
test.after(() => fixture?.stop());

for (const state of ['Frozen', 'Cut'] as const satisfies LineState[]) {
  test(`unpeer from a provider that is ${state} at every step completes, and reports how to remove the residue`, async () => {
    const tokens = [await issueToken(), await issueToken(), await issueToken()] as const;
    const full = await peer(tokens[0]);
    await reachStep(steps.at(-1)!, full);
    const bare = await peer(tokens[1], 'bare');
    await reachStep(
      steps.find(({ name }) => name === 'Ready')!,
      bare,
    );
    fixture.setLines(state);
    const early = await peer(tokens[2], 'early');
    // The identity request is pending, without an answer.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const begun = performance.now();
    const took = await Promise.all(
      [full, bare, early].map(async ({ metadata }) => {
        await deletePeering(metadata.name);
        await waitUntilGone(metadata.name);
        return performance.now() - begun;
      }),
    );
    log(
      `${state}: with pods ${seconds(took[0]!)}, with a node ${seconds(took[1]!)}, without an identity ${seconds(took[2]!)}`,
    );
    await assertRestored('consumer');
    const left = [...(await residue(full)), ...(await residue(bare))];
    const commands = left.flatMap((line) => /hawser unpeer (\S+) --incoming/.exec(line)?.[1] ?? []);
    assert.equal(commands.toSorted(), [consumerID, `${consumerID}.bare`]);
    assert.match((await residue(early)).join(), /may have created/);
    // The provider is back with all its state, and its administrator follows the instructions of the message.
    fixture.setLines('Open');
    assert.equal(
      (await incomingPeerings()).map(({ metadata }) => metadata.name).toSorted(),
      commands.toSorted(),
    );
    const again = performance.now();
    for (const name of commands) {
      await fixture.provider.kube.delete({ kind: kind.incomingPeering, name }, {}, fixture.provider.signal);
    }
    await eventually(
      'the provider has removed them',
      async () => (await incomingPeerings()).length === 0,
      deadline,
    );
    log(`put out at the provider in ${seconds(performance.now() - again)}`);
    await assertRestored('provider');
  });

  test(`peering again works at once while the provider, which was ${state}, still has the old state`, async () => {
    const peering = await peer(await issueToken());
    await reachStep(steps.at(-1)!, peering);
    fixture.setLines(state);
    await deletePeering(peering.metadata.name);
    await waitUntilGone(peering.metadata.name);
    assert.is((await residue(peering)).length, 1);
    fixture.setLines('Open');
    const begun = performance.now();
    const again = await peer(await issueToken());
    await reachStep(steps.at(-1)!, again);
    log(`peered again, with a pod running: ${seconds(performance.now() - begun)}`);
    await deletePeering(again.metadata.name);
    await waitUntilGone(again.metadata.name);
    assert.equal(await residue(again), []);
    await assertRestored('consumer', 'provider');
  });

  test(`a consumer that was ${state} while it was revoked learns of it on its return, and can unpeer`, async () => {
    const peering = await peer(await issueToken());
    await reachStep(steps.at(-1)!, peering);
    fixture.setLines(state);
    for (const { metadata } of await incomingPeerings()) {
      await fixture.provider.kube.delete(
        { kind: kind.incomingPeering, name: metadata.name },
        {},
        fixture.provider.signal,
      );
    }
    const begun = performance.now();
    await eventually(
      'the provider has removed it',
      async () => (await incomingPeerings()).length === 0,
      deadline,
    );
    log(`put out without its consumer in ${seconds(performance.now() - begun)}`);
    await assertRestored('provider');
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
    log(`notified ${seconds(performance.now() - back)} after it was back`);
    await deletePeering(peering.metadata.name);
    await waitUntilGone(peering.metadata.name);
    assert.equal(await residue(peering), []);
    await assertRestored('consumer', 'provider');
  });
}

test.run();
