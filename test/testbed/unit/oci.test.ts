import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { buildImage, filesBelow, imageDigest } from '../../../deploy/image/oci.ts';
import { run } from '../run.ts';

const longDirectory = `/node_modules/${'a-rather-long-name-of-a-package/'.repeat(6)}dist`;
let directory = '';

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hawser-image-'));
});
test.after(() => rm(directory, { recursive: true, force: true }));

test('the archive is an OCI layout whose digests hold, and whose layer tar can read', async () => {
  const program = join(directory, 'program');
  await writeFile(program, Buffer.alloc(5_000_000, 'x'));
  await chmod(program, 0o755);
  const request = {
    name: 'example.test/one:v1',
    output: join(directory, 'image.tar'),
    files: [
      { path: '/bin/program', from: program },
      { path: '/bin/link', linkTo: 'program' },
      { path: '/tmp', directory: true as const, mode: 0o1777 },
      { path: `${longDirectory}/é.js`, content: 'export {};\n', uid: 65532, gid: 65532 },
      { path: '/empty', content: '' },
    ],
    entrypoint: ['/bin/program'],
    user: '65532:65532',
  };
  const image = await buildImage(request);
  assert.is(await imageDigest(image.path), image.digest);
  const layout = join(directory, 'layout');
  await mkdir(layout);
  await run(['tar', '-xf', image.path, '-C', layout]);
  const blob = async (digest: string) => {
    const bytes = await readFile(join(layout, 'blobs/sha256', digest.slice(7)));
    assert.is(`sha256:${createHash('sha256').update(bytes).digest('hex')}`, digest);
    return bytes;
  };
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'));
  assert.is(index.manifests[0].digest, image.digest);
  assert.is(index.manifests[0].annotations['io.containerd.image.name'], request.name);
  const manifest = JSON.parse((await blob(image.digest)).toString());
  const config = JSON.parse((await blob(manifest.config.digest)).toString());
  assert.is(config.config.User, '65532:65532');
  assert.equal(config.rootfs.diff_ids, [manifest.layers[0].digest]);
  assert.is((await blob(manifest.layers[0].digest)).length, manifest.layers[0].size);
  const root = join(directory, 'root');
  await mkdir(root);
  await run(['tar', '-xpf', join(layout, 'blobs/sha256', manifest.layers[0].digest.slice(7)), '-C', root]);
  assert.is((await stat(join(root, 'bin/program'))).size, 5_000_000);
  assert.is((await stat(join(root, 'bin/program'))).mode & 0o7777, 0o755);
  assert.is((await stat(join(root, 'tmp'))).mode & 0o7777, 0o1777);
  assert.is(await readlink(join(root, 'bin/link')), 'program');
  assert.is(await readFile(join(root, longDirectory, 'é.js'), 'utf8'), 'export {};\n');
});

test('equal files give equal bytes', async () => {
  const request = { name: 'x:1', files: [{ path: '/a', content: 'a' }], entrypoint: ['/a'] };
  const one = await buildImage({ ...request, output: join(directory, 'one.tar') });
  const other = await buildImage({ ...request, output: join(directory, 'other.tar') });
  assert.is(one.digest, other.digest);
  assert.equal(await readFile(one.path), await readFile(other.path));
});

test('a directory is included completely except for exclusions', async () => {
  const source = join(directory, 'source');
  await mkdir(join(source, 'inner'), { recursive: true });
  await writeFile(join(source, 'inner/kept.ts'), '1');
  await writeFile(join(source, 'left-out.ts'), '2');
  await symlink('inner/kept.ts', join(source, 'link'));
  const files = await filesBelow(source, '/app', (path) => path !== 'left-out.ts');
  assert.equal(files, [
    { path: '/app/inner/kept.ts', from: join(source, 'inner/kept.ts') },
    { path: '/app/link', linkTo: 'inner/kept.ts' },
  ]);
});

test('a path that leads outside is refused, and no partial archive stays', async () => {
  const output = join(directory, 'bad.tar');
  let message = '';
  await buildImage({
    name: 'x:1',
    output,
    files: [{ path: '/../a', content: '' }],
    entrypoint: ['/a'],
  }).catch((error: Error) => (message = error.message));
  assert.match(message, 'not an absolute path');
  await buildImage({
    name: 'x:1',
    output,
    files: [{ path: '/a', from: '/nowhere' }],
    entrypoint: ['/a'],
  }).catch((error: Error) => (message = error.message));
  assert.match(message, 'ENOENT');
  assert.is(await stat(output).catch(() => 'absent'), 'absent');
});

test.run();
