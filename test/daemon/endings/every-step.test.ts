/** A peering ends at every step of its life, from either side, with a reachable remote. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kind } from '../../../daemon/kube/index.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { eventually } from '../../support/eventually.ts';
import { debouncer } from './setting.ts';
import {
  assertRestored,
  startClusters,
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

const test = suite('removal at every step');
test.before(startClusters);
test.after(() => fixture?.stop());

for (const step of steps) {
  test(`unpeer at step "${step.name}" with a reachable provider leaves nothing on either side`, async () => {
    const peering = await peer(await issueToken());
    await reachStep(step, peering);
    const begun = performance.now();
    await deletePeering(peering.metadata.name);
    await waitUntilGone(peering.metadata.name);
    const ended = performance.now();
    assert.equal(await residue(peering), []);
    await assertRestored('consumer', 'provider');
    log(
      `${step.name}: unpeered in ${seconds(ended - begun)}, all gone by ${seconds(performance.now() - begun)}`,
    );
  });
}

const stepsWithProvider = [
  'known to the provider',
  'the provider issued an identity',
  'Ready',
  'pods running',
];
for (const step of steps.filter(({ name }) => stepsWithProvider.includes(name))) {
  test(`removal by the provider at step "${step.name}" is reported to the consumer, whose unpeer completes`, async () => {
    const peering = await peer(await issueToken());
    await reachStep(step, peering);
    const begun = performance.now();
    for (const { metadata } of await incomingPeerings()) {
      await fixture.provider.kube.delete(
        { kind: kind.incomingPeering, name: metadata.name },
        {},
        fixture.provider.signal,
      );
    }
    await eventually(
      'the provider has removed it',
      async () => (await incomingPeerings()).length === 0,
      deadline,
    );
    const rid = performance.now();
    const word = await eventually(
      'the consumer reports it',
      async () => {
        const found = findCondition(
          (await fixture.outgoing(peering.metadata.name))?.status?.conditions,
          'IdentityValid',
        );
        return found?.status === 'False' && /^(PeeringEnded|TokenRefused)$/.test(found.reason) && found;
      },
      debouncer,
    );
    assert.match(word.message, /peer again|new one|new token/);
    const known = performance.now();
    await deletePeering(peering.metadata.name);
    await waitUntilGone(peering.metadata.name);
    const ended = performance.now();
    assert.equal(await residue(peering), []);
    await assertRestored('consumer', 'provider');
    log(
      `${step.name}: removed in ${seconds(rid - begun)}, reported by ${seconds(known - begun)} (${word.reason}), then unpeered in ${seconds(ended - known)}`,
    );
  });
}

test.run();
