/** Commands in the documents: the curl commands of docs/install.md run unchanged against a real gateway. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodePeeringToken } from '../../shared/trust/token-codec.ts';
import { Fixture } from '../gateway/setting.ts';
import { ensurePrograms, upControlPlane } from '../testbed/index.ts';

const root = join(import.meta.dirname, '..', '..');
const readme = suite('documents');
const text = await readFile(join(root, 'docs', 'install.md'), 'utf8');

readme('the curl commands of docs/install.md issue, list and revoke a token', async () => {
  const block = /<!-- curl: begin -->\s*```sh\n([^]*?)```\s*<!-- curl: end -->/.exec(text)?.[1];
  assert.ok(block);
  const { kubectl } = await ensurePrograms({ only: ['kubectl'] });
  const fixture = await Fixture.start('node', await upControlPlane({ name: 'readme' }));
  const directory = await mkdtemp(join(tmpdir(), 'hawser-readme-'));
  try {
    // Where the controller stores it; this gateway reads it from files.
    const { certificate } = fixture.certificate;
    await fixture.plane.kubectl([
      ...'create secret generic hawser-gateway-tls -n hawser-system'.split(' '),
      `--from-literal=tls.crt=${certificate}`,
    ]);
    await symlink(join(root, 'deploy'), join(directory, 'deploy'));
    const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', block], {
      cwd: directory,
      timeout: 60_000,
      env: {
        ...process.env,
        KUBECONFIG: fixture.plane.kubeconfig,
        PATH: `${dirname(kubectl)}:${process.env['PATH']}`,
      },
    });
    const issued = JSON.parse(await readFile(join(directory, 'issued.json'), 'utf8')) as {
      name: string;
      token: string;
      grant: object;
    };
    assert.is(decodePeeringToken(issued.token).gatewayURL, fixture.url);
    assert.equal(issued.grant, {
      cpu: '4',
      memory: '8Gi',
      pods: 20,
      podSecurity: 'baseline',
    });
    assert.match(stdout, `"name":"${issued.name}"`);
    assert.match(stdout, '"state":"Redeemable"');
    assert.match(stdout, '"publicKey"');
    assert.not.match(stdout, issued.token.slice(0, 40));
    const held = JSON.parse(
      await fixture.plane.kubectl(['get', 'peeringtoken', issued.name, '-n', 'hawser-system', '-o', 'json']),
    ) as { spec: { revoked?: boolean } };
    assert.is(held.spec.revoked, true);
    const openapi = JSON.parse(await readFile(join(directory, 'openapi.json'), 'utf8')) as {
      openapi: string;
    };
    assert.match(openapi.openapi, /^3\.1/);
  } finally {
    await rm(directory, { recursive: true, force: true });
    await fixture.stop();
  }
});

readme('the npm scripts and hawser commands that documents name exist', async () => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const commands = await readFile(join(root, 'docs', 'cli.md'), 'utf8');
  const known = new Set([...commands.matchAll(/^### hawser (.+)$/gm)].map(([, name = '']) => name));
  const options = new Set([...commands.matchAll(/(--[a-z-]+)/g)].map(([, name = '']) => name));
  // The reference of the commands also contains aliases.
  const pages = (await readdir(join(root, 'docs'), { recursive: true })).filter(
    (name) => name.endsWith('.md') && name !== 'cli.md',
  );
  for (const file of ['README.md', 'CONTRIBUTING.md', ...pages.map((name) => `docs/${name}`)]) {
    const page = await readFile(join(root, file), 'utf8');
    for (const [, name] of page.matchAll(/npm run ([a-z:]+)/g))
      assert.ok(scripts[name ?? ''], `${file}: npm run ${name}`);
    for (const [line, first = '', second = ''] of page.matchAll(
      /(?:^|`|\$ )hawser ([a-z]+)(?: ([a-z]+))?[^`\n]*/gm,
    )) {
      assert.ok(known.has(first) || known.has(`${first} ${second}`), `${file}: ${line}`);
      for (const [, option = ''] of line.matchAll(/ (--[a-z-]+)/g))
        assert.ok(options.has(option), `${file}: ${option} in ${line}`);
    }
  }
});

readme.run();
