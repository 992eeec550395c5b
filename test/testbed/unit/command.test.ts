import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runAnyway } from '../run.ts';

const main = join(import.meta.dirname, '../main.ts');
let directory = '';

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hawser-beds-'));
});
test.after(() => rm(directory, { recursive: true, force: true }));

function testbed(...args: string[]) {
  return runAnyway([process.execPath, main, ...args], { env: { HAWSER_TESTBED_DIRECTORY: directory } });
}

test('help goes to standard output with exit code 0', async () => {
  const { exitCode, stdout, stderr } = await testbed('--help');
  assert.is(exitCode, 0);
  assert.match(stdout, 'shell CLUSTER');
  assert.is(stderr, '');
});

test('invalid usage names the error', async () => {
  const cases: [string[], string][] = [
    [[], 'no command given'],
    [['upp'], 'there is no command upp'],
    [['up', '--nods', '2'], '--nods'],
    [['up', '--nodes', 'two'], '--nodes takes a number, not two'],
    [['status', 'more'], 'unexpected: more'],
  ];
  await Promise.all(
    cases.map(async ([args, problem]) => {
      const { exitCode, stdout, stderr } = await testbed(...args);
      assert.is(exitCode, 2);
      assert.is(stdout, '');
      assert.match(stderr, problem);
      assert.match(stderr, 'Usage:');
    }),
  );
});

test('an impossible testbed is refused before any change', async () => {
  const cases: [string[], string][] = [
    [['--clusters', '0'], '0 clusters: a bed has 1 to 12'],
    [['--name', 'Dev'], '"Dev" cannot name a bed'],
    [['--pod-cidr', '10.0.0.0'], '10.0.0.0 is not an IPv4 range'],
  ];
  await Promise.all(
    cases.map(async ([args, problem]) => {
      const { exitCode, stderr } = await testbed('up', ...args);
      assert.is(exitCode, 1);
      assert.match(stderr, problem);
    }),
  );
});

test('without a testbed status explains how to create one, and shell fails', async () => {
  const status = await testbed('status');
  assert.is(status.exitCode, 0);
  assert.match(status.stdout, 'npm run testbed -- up');
  const shell = await testbed('shell', 'c1', '--name', 'absent');
  assert.is(shell.exitCode, 1);
  assert.match(shell.stderr, 'bed absent is not up');
});

test.run();
