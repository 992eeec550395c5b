import { suite } from 'uvu';
import { identityStories } from './stories/identities.ts';
import { parameterStories } from './stories/parameters.ts';
import { tokenStories } from './stories/tokens.ts';
import { transportStories } from './stories/transport.ts';
import { upControlPlane } from '../testbed/index.ts';
import { World } from './setting.ts';

const test = suite('the gateway on Deno');
let world: World | undefined;
const theWorld = (): World => {
  if (world === undefined) throw new Error('the world was not made');
  return world;
};

test.before(async () => {
  world = await World.start('deno', await upControlPlane({ name: 'gateway-deno' }));
});
test.after(async () => {
  await world?.stop();
});

identityStories(test, theWorld);
tokenStories(test, theWorld);
parameterStories(test, theWorld);
// It ends with the gateway being stopped.
transportStories(test, theWorld);

test.run();
