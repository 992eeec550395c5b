/** Scenarios of the end-to-end tests: the order of steps, and the effects of a failed one. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runSteps } from '../support/scenario.ts';

const test = suite('scenario');

test('a scenario runs its steps in order, and logs each that passed', async () => {
  const ran: string[] = [];
  const lines: string[] = [];
  const step = (name: string) => ({ name, run: () => void ran.push(name) });
  await runSteps([step('peer'), step('offload')], (line) => lines.push(line));
  assert.equal(ran, ['peer', 'offload']);
  assert.match(lines.join('\n'), /step 1 of 2.*peer\n.*step 2 of 2.*offload/);
});

test('a failed step ends the scenario with its own error, which names the step', async () => {
  const ran: string[] = [];
  const failure = new assert.Assertion({ message: 'not equal', operator: 'is', expects: 1, actual: 2 });
  const steps = [
    { name: 'peer', run: () => void ran.push('peer') },
    { name: 'offload', run: () => Promise.reject(failure) },
    { name: 'unpeer', run: () => void ran.push('unpeer') },
  ];
  const thrown = await runSteps(steps, () => undefined).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.is(thrown, failure, 'its details are kept');
  assert.match(failure.message, /^step 2 of 3, "offload": not equal$/);
  assert.equal(ran, ['peer']);
});

test('a thrown value that is not an Error becomes one', async () => {
  const thrower = () => {
    throw 'nothing';
  };
  const steps = [{ name: 'peer', run: thrower }];
  const thrown = await runSteps(steps, () => undefined).catch((error: unknown) => error);
  assert.instance(thrown, Error);
  assert.match((thrown as Error).message, /step 1 of 1, "peer": thrown, but not an Error: nothing/);
});

test.run();
