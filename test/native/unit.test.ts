/** Unit tests of the core, compiled with ASan and UBSan: structures and packets against slow reference implementations. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { build, sanitizedVariant } from '../../native/build.ts';
import { run } from './lab.ts';

const directory = fileURLToPath(new URL('unit/', import.meta.url));

test('the core agrees with slow reference implementations, without sanitizer errors', async () => {
  const sources = readdirSync(directory)
    .filter((name) => name.endsWith('.cc'))
    .map((name) => directory + name);
  const program = await build(sanitizedVariant('address', 'unit', sources));
  const output = await run(program, [], 120);
  assert.match(output, /all is as it should be/);
});

test.run();
