/** The threads under ThreadSanitizer: traffic, while sessions, peers, routes and ports change. */
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { build, sanitizedVariant } from '../../native/build.ts';
import { Lab } from './lab.ts';

const source = fileURLToPath(new URL('stress/stress.cc', import.meta.url));

for (const sanitizer of ['thread', 'address'] as const)
  test(`${sanitizer} finds no error while everything changes under load`, async () => {
    const program = await build(sanitizedVariant(sanitizer, 'stress', [source]));
    const lab = new Lab();
    try {
      await lab.open(['one', 'two']);
      const output = await lab.in('one', program, ['5'], 90);
      console.log(output.trim());
      assert.match(output, /packets arrived/);
    } finally {
      await lab.close();
    }
  });

test.run();
