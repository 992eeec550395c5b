/** The built image: its files in a separate directory, and its programs started with that as their root. */
import { execFile } from 'node:child_process';
import { mkdtemp, mkdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { build, readManifest } from '../../deploy/build/build.ts';
import { buildHawserImage, imageName } from '../../deploy/image/build.ts';

const run = promisify(execFile);
const image = suite('image');
let directory = '';
let root = '';

image.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hawser-image-'));
  await build(() => undefined);
  const { path } = await buildHawserImage();
  await run('tar', ['-xf', path, '-C', directory]);
  const index = await json<{ manifests: { digest: string; annotations: Record<string, string> }[] }>(
    'index.json',
  );
  const [entry] = index.manifests;
  assert.is(entry?.annotations['io.containerd.image.name'], imageName((await readManifest()).version));
  const manifest = await json<{ layers: { digest: string }[] }>(blob(entry?.digest));
  root = join(directory, 'root');
  await mkdir(root);
  for (const { digest } of manifest.layers)
    await run('tar', ['-xf', join(directory, blob(digest)), '-C', root]);
});
image.after(() => rm(directory, { recursive: true, force: true }));

const blob = (digest = '') => join('blobs', ...digest.split(':'));
const json = async <T>(file: string) => JSON.parse(await readFile(join(directory, file), 'utf8')) as T;
/** Without this machine's environment, such as its own certificates. */
const inside = async (...command: string[]) =>
  (await run('chroot', [root, ...command], { env: { PATH: '/usr/local/bin:/usr/sbin' } })).stdout;

image('the image’s entry point is the hawser command', async () => {
  const { version } = await readManifest();
  assert.is(await inside('hawser', 'version', '--client'), `${version}\n`);
  assert.is(await inside('node', '/hawser/cli/main.js', 'version', '--client'), `${version}\n`);
});

image('the image contains each process with all its modules', async () => {
  for (const [args, said] of [
    [['daemon', '--role=controller'], /KUBERNETES_SERVICE_HOST/],
    [['daemon', '--role=node'], /KUBERNETES_SERVICE_HOST|NODE_NAME/],
    [['gateway'], /KUBERNETES_SERVICE_HOST/],
  ] as const) {
    const failure = await inside('hawser', ...args).then(
      () => '',
      (error: { stderr: string }) => error.stderr,
    );
    assert.match(failure, said, args.join(' '));
    assert.not.match(failure, /ERR_MODULE_NOT_FOUND|Cannot find/);
  }
});

image('the engine loads', async () => {
  const script =
    "const module_ = { exports: {} }; process.dlopen(module_, '/hawser/native/build/Release/hawser.node'); console.log('Engine' in module_.exports)";
  assert.is(await inside('node', '-e', script), 'true\n');
});

image('the node’s tools are present with their libraries', async () => {
  assert.match(await inside('ip', '-V'), /iproute2/);
  assert.match(await inside('nft', '--version'), /nftables/);
  assert.match(await inside('conntrack', '--version'), /conntrack v/);
});

image('the image contains no shell, no TypeScript and no build-time package', async () => {
  const { stdout } = await run('find', [root, '-type', 'f']);
  const files = stdout.split('\n');
  for (const pattern of [/\/(ba)?sh$/, /\.ts$/, /node_modules\/(typescript|oxlint|prettier|uvu|deno)\//]) {
    assert.equal(
      files.filter((file) => pattern.test(file)),
      [],
      String(pattern),
    );
  }
});

image.run();
