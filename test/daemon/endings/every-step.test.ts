/** A peering is cut at every step of its life, from either side, with the other one alive. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kind } from '../../../daemon/kube/index.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { eventually } from '../clusters.ts';
import { debouncer } from './setting.ts';
import {
  asBefore,
  begin,
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

const test = suite('removal at every step');
test.before(begin);
test.after(() => fixture?.stop());

for (const step of steps) {
  test(`unpeer at step "${step.name}" with a reachable provider leaves nothing on either side`, async () => {
    const peering = await peer(await issueToken());
    await reach(step, peering);
    const begun = performance.now();
    await mark(peering.metadata.name);
    await gone(peering.metadata.name);
    const ended = performance.now();
    assert.equal(await residue(peering), []);
    await asBefore('consumer', 'provider');
    say(
      `${step.name}: unpeered in ${seconds(ended - begun)}, all gone by ${seconds(performance.now() - begun)}`,
    );
  });
}

const told = ['known to the provider', 'the provider issued an identity', 'Ready', 'pods running'];
for (const step of steps.filter(({ name }) => told.includes(name))) {
  test(`removal by the provider at step "${step.name}" is reported to the consumer, whose unpeer completes`, async () => {
    const peering = await peer(await issueToken());
    await reach(step, peering);
    const begun = performance.now();
    for (const { metadata } of await incoming()) {
      await fixture.provider.kube.delete(
        { kind: kind.incomingPeering, name: metadata.name },
        {},
        fixture.provider.signal,
      );
    }
    await eventually('the provider has removed it', async () => (await incoming()).length === 0, deadline);
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
    await mark(peering.metadata.name);
    await gone(peering.metadata.name);
    const ended = performance.now();
    assert.equal(await residue(peering), []);
    await asBefore('consumer', 'provider');
    say(
      `${step.name}: put out in ${seconds(rid - begun)}, told by ${seconds(known - begun)} (${word.reason}), then unpeered in ${seconds(ended - known)}`,
    );
  });
}

test.run();
