/** The command as users get it: one file, run by this machine's Node, and one program. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readManifest } from '../../deploy/build/build.ts';
import { buildCommand, buildProgram, commandFile, commandProgram } from '../../deploy/build/cli.ts';
import { machineProgram } from '../support/machine-program.ts';

const oldestNode = 20;
const withProgram = process.platform === 'linux' && process.arch === 'x64';

let directory = '';
const ways: { name: string; command: string[] }[] = [];

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function hawser(command: string[], args: string[], kubeconfig = ''): Promise<Outcome> {
  const [program = '', ...before] = command;
  const env = { PATH: '/usr/bin:/bin', HOME: directory, NO_COLOR: '1', KUBECONFIG: kubeconfig };
  return new Promise((resolve) => {
    // In a place without packages.
    execFile(
      program,
      [...before, ...args],
      { cwd: directory, env, timeout: 60_000 },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    );
  });
}

const built = suite('the built command');

built.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hawser-cli-'));
  await buildCommand();
  const node = await machineProgram('node').catch(() => process.execPath);
  const { stdout } = await hawser([node], ['--version']);
  const recent = Number(/^v(\d+)/.exec(stdout)?.[1]) >= oldestNode;
  ways.push({ name: 'one file', command: [recent ? node : process.execPath, commandFile] });
  if (withProgram) {
    await buildProgram();
    ways.push({ name: 'one program', command: [commandProgram] });
  }
});
built.after(() => rm(directory, { recursive: true, force: true }));

built('the built command prints version and help', async () => {
  const { version } = await readManifest();
  for (const { name, command } of ways) {
    assert.equal(await hawser(command, ['--version']), { code: 0, stdout: `${version}\n`, stderr: '' }, name);
    const help = await hawser(command, ['--help']);
    assert.equal([help.code, help.stderr], [0, ''], name);
    assert.match(help.stdout, /Usage: hawser COMMAND/);
  }
});

built('the built command reports kubeconfig errors and unreachable servers', async () => {
  const kubeconfig = join(directory, 'config');
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'home',
      contexts: [{ name: 'home', context: { cluster: 'home', user: 'me' } }],
      clusters: [{ name: 'home', cluster: { server: 'https://127.0.0.1:1' } }],
      users: [{ name: 'me', user: { token: 'secret' } }],
    }),
  );
  for (const { name, command } of ways) {
    const missing = await hawser(command, ['status'], join(directory, 'none'));
    assert.is(missing.code, 1, name);
    assert.match(missing.stderr, /no kubeconfig: .*none does not exist/);
    const silent = await hawser(command, ['status'], kubeconfig);
    assert.is(silent.code, 1, name);
    assert.match(silent.stderr, /^hawser: [^\n]*127\.0\.0\.1:1[^\n]*ECONNREFUSED[^\n]*\n$/);
  }
});

built('the built command explains that daemons run only in the image', async () => {
  for (const { name, command } of ways) {
    for (const words of [['gateway'], ['daemon', '--role', 'node'], ['tunnel', 'wg0']]) {
      const { code, stderr } = await hawser(command, words);
      assert.is(code, 1, name);
      assert.match(stderr, /^hawser: this build of the command does not run it: [^\n]*image[^\n]*\n$/);
    }
  }
});

built.run();
