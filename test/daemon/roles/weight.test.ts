/**
 * The modules that a role's process loads: a node daemon runs on every node, so it must not load unused code. There, schemas
 * would take 18 MB and cryptography 20; the tunnel's cryptography is in its worker.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const test = suite('modules that roles load');
const root = join(import.meta.dirname, '..', '..', '..');

/** Names of the packages that a new process loads with a module. */
async function packagesOf(module: string): Promise<string[]> {
  const script = `
    const { registerHooks } = await import('node:module');
    const seen = new Set();
    registerHooks({ load(url, context, next) {
      const [, name] = /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url) ?? [];
      if (name !== undefined) seen.add(name);
      return next(url, context);
    } });
    await import(${JSON.stringify(join(root, module))});
    console.log(JSON.stringify([...seen].sort()));
    process.exit(0);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  return JSON.parse(stdout) as string[];
}

test('the node role loads address arithmetic and no other shared module', async () => {
  assert.equal(await packagesOf('daemon/roles/node.ts'), ['cidr-tools', 'ip-bigint']);
});

test('the tunnel’s worker loads only its cryptography', async () => {
  assert.equal(await packagesOf('daemon/wireguard/engine-driver.ts'), [
    '@noble/hashes',
    'libsodium',
    'libsodium-wrappers',
  ]);
});

test.run();
