/** The starter script, with its own project in a temporary folder and one package in a folder beside it. */
import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const source = join(import.meta.dirname, '..', '..', 'deploy', 'start.mjs');

const packageOf = (version: string) => JSON.stringify({ name: 'beside', version });
const lockOf = (version: string) =>
  JSON.stringify({
    name: 'started',
    lockfileVersion: 3,
    requires: true,
    packages: {
      '': { name: 'started', dependencies: { beside: 'file:beside' } },
      beside: { version },
      'node_modules/beside': { resolved: 'beside', link: true },
    },
  });

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

const start = suite<{ directory: string }>('start.mjs');

start.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'hawser-start-'));
  await mkdir(join(context.directory, 'deploy'));
  await mkdir(join(context.directory, 'beside'));
  await copyFile(source, join(context.directory, 'deploy', 'start.mjs'));
  await writeFile(
    join(context.directory, 'package.json'),
    JSON.stringify({ name: 'started', type: 'module', dependencies: { beside: 'file:beside' } }),
  );
  await writeFile(join(context.directory, 'package-lock.json'), lockOf('1.0.0'));
  await writeFile(join(context.directory, 'beside', 'package.json'), packageOf('1.0.0'));
  await writeFile(
    join(context.directory, 'entry.ts'),
    `const [what, ...rest]: string[] = process.argv.slice(2);
if (what === 'wait') {
  process.on('SIGTERM', () => process.exit(7));
  setInterval(() => undefined, 1000);
  console.log('waiting');
} else if (what === 'die') process.kill(process.pid, 'SIGKILL');
else {
  console.log(JSON.stringify(rest));
  process.exitCode = Number(what);
}
`,
  );
});
start.after.each(({ directory }) => rm(directory, { recursive: true, force: true }));

function run(directory: string, args: string[], signalAt?: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const outcome: Outcome = { code: null, stdout: '', stderr: '' };
    const child = spawn(process.execPath, [join(directory, 'deploy', 'start.mjs'), 'entry.ts', ...args], {
      cwd: tmpdir(),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      outcome.stdout += text;
      if (signalAt !== undefined && outcome.stdout.includes(signalAt)) child.kill('SIGTERM');
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (outcome.stderr += text));
    child.once('error', reject);
    child.once('close', (code) => resolve({ ...outcome, code }));
  });
}

start(
  'start.mjs installs missing packages, reports it once, and passes arguments and exit code on',
  async ({ directory }) => {
    const first = await run(directory, ['5', '--a', 'b c']);
    assert.equal([first.code, first.stdout], [5, '["--a","b c"]\n'], first.stderr);
    assert.match(
      first.stderr,
      /^Installing the npm packages of package-lock\.json into node_modules[^\n]*\n$/,
    );
    const second = await run(directory, ['0']);
    assert.equal([second.code, second.stderr], [0, '']);
  },
);

start(
  'start.mjs installs again when the lock file has another version, or a package is missing',
  async ({ directory }) => {
    await run(directory, ['0']);
    await writeFile(join(directory, 'package-lock.json'), lockOf('2.0.0'));
    await writeFile(join(directory, 'beside', 'package.json'), packageOf('2.0.0'));
    assert.match((await run(directory, ['0'])).stderr, /^Installing/);
    assert.is((await run(directory, ['0'])).stderr, '');
    await rm(join(directory, 'node_modules', 'beside'));
    assert.match((await run(directory, ['0'])).stderr, /^Installing/);
    assert.is((await run(directory, ['0'])).stderr, '');
  },
);

start('start.mjs prints npm’s error when it fails, and runs nothing', async ({ directory }) => {
  await writeFile(join(directory, 'package.json'), 'no JSON');
  const { code, stdout, stderr } = await run(directory, ['0']);
  assert.equal([code, stdout], [1, '']);
  assert.match(stderr, /npm install failed, so that nothing can be run: .*package\.json/s);
});

start('start.mjs forwards signals and returns the program’s result', async ({ directory }) => {
  assert.is((await run(directory, ['wait'], 'waiting')).code, 7);
  assert.is((await run(directory, ['die'])).code, 128 + 9);
});

start.run();
