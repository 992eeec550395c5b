/** The README's two commands, each alone in a clone on a bare Debian. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import { makeBareRoot, type BareRoot, type BareRun } from './root.ts';

/** With warm caches each takes a fraction of it. */
const seconds = 600;

const bare = suite('on a bare Debian');
let root: BareRoot | undefined;

bare.before.each(async () => {
  await ensureNeeds(['bare']);
  root = await makeBareRoot(console.error);
});
bare.after.each(async () => {
  await root?.remove();
});

async function run(command: string): Promise<BareRun> {
  assert.ok(root);
  const result = await root.run(command, { seconds });
  console.log(`${command}: ${result.seconds.toFixed(0)} s`);
  return result;
}

bare('the README begins with these commands', async () => {
  const text = await readFile(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');
  const first =
    /```sh\n([^`]*)```/
      .exec(text)?.[1]
      ?.split('\n')
      .map((line) => line.split('#')[0]?.trim()) ?? [];
  assert.equal(first.slice(0, 2), ['npm run demo', 'npm test']);
});

bare('npm run demo creates its clusters and checks a claim', async () => {
  const { exitCode, output } = await run('npm run demo -- --name bare --until first-claim');
  assert.is(exitCode, 0, output);
  assert.match(output, /Installing the npm packages/);
  assert.match(output, /Installing Debian packages that are missing: .*nftables/);
  assert.match(output, /ok all of them have the same ranges/);
  assert.match(output, /\n1 claim was checked[^\n]*\n$/);
  assert.is(await root?.changed(), '');
});

bare('npm test runs on a bare machine', async () => {
  const { exitCode, output } = await run('npm test -- format native-build image');
  assert.is(exitCode, 0, output);
  assert.match(output, /\n\d+ passed, 0 failed\n$/);
});

bare.run();
