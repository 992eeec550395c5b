import { suite } from 'uvu';
import { identityStories } from './stories/identities.ts';
import { parameterStories } from './stories/parameters.ts';
import { tokenStories } from './stories/tokens.ts';
import { transportStories } from './stories/transport.ts';
import { upControlPlane } from '../testbed/index.ts';
import { Fixture } from './setting.ts';

const test = suite('the gateway on Deno');
let fixture: Fixture | undefined;
const theFixture = (): Fixture => {
  if (fixture === undefined) throw new Error('the world was not made');
  return fixture;
};

test.before(async () => {
  fixture = await Fixture.start('deno', await upControlPlane({ name: 'gateway-deno' }));
});
test.after(async () => {
  await fixture?.stop();
});

identityStories(test, theFixture);
tokenStories(test, theFixture);
parameterStories(test, theFixture);
// Last, since these tests stop the gateway at their end.
transportStories(test, theFixture);

test.run();
