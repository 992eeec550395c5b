/**
 * `npm run image`: the image of all three processes, as an OCI archive in `dist/hawser-image.tar`, without a container engine:
 * Node's program, its shared libraries, `ip`, `nft` and `conntrack` with theirs, and the build. It has no shell and no package
 * manager. With a container engine, the Dockerfile in this folder builds the same from a Debian base.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import { build, outputDirectory, readManifest } from '../build/build.ts';
import { ensureNeeds } from '../needs/ensure.ts';
import { buildImage, type Image, type ImageFile } from './oci.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
export const imagePath = join(root, 'dist', 'hawser-image.tar');

/** The image's name for a version; the chart names the same one by default. */
export const imageName = (version: string): string => `hawser.dev/hawser:${version}`;

/** Libraries that the addon itself loads if they exist. */
const optionalLibraries = ['libIPSec_MB.so.1', 'libIPSec_MB.so.2'];

/**
 * Small young generations, one helper thread, a collector that can be called after the start, and only the fast optimising
 * compiler: these processes are mostly idle, and memory that a compiler has used is not returned.
 */
const engineOptions = ['--max-semi-space-size=1', '--v8-pool-size=1', '--no-turbofan', '--expose-gc'];

const tools = ['ip', 'nft', 'conntrack'];
const searchPath = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const libraryPath = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/local/lib', '/usr/lib'];

/** All files of the image. Exported so that its contents can be inspected before the build. */
export async function imageFiles(): Promise<ImageFile[]> {
  const programs = new Map<string, string>([['/usr/local/bin/node', await realpath(process.execPath)]]);
  for (const tool of tools) {
    const found = searchPath.map((directory) => join(directory, tool)).find((path) => existsSync(path));
    if (found === undefined) {
      throw new Error(
        `${tool} is not installed: install the Debian packages iproute2, nftables and conntrack`,
      );
    }
    programs.set(`/usr/sbin/${tool}`, await realpath(found));
  }
  const addon = join(outputDirectory, 'native', 'build', 'Release', 'hawser.node');
  const extra = optionalLibraries
    .flatMap((name) => libraryPath.map((directory) => join(directory, name)))
    .filter((path) => existsSync(path));
  const libraries = new Set(extra);
  for (const program of [...programs.values(), addon, ...extra]) {
    for (const library of await linkedLibraries(program)) libraries.add(library);
  }
  const files: ImageFile[] = [
    ...[...programs].map(([path, from]) => ({ path, from, mode: 0o755 })),
    ...(await Promise.all(
      [...libraries].map(async (path) => ({ path, from: await realpath(path), mode: 0o755 })),
    )),
    { path: '/etc/passwd', content: 'root:x:0:0:root:/:/bin/false\nhawser:x:65532:65532::/:/bin/false\n' },
    { path: '/etc/group', content: 'root:x:0:\nhawser:x:65532:\n' },
    { path: '/etc/nsswitch.conf', content: 'hosts: files dns\n' },
    { path: '/tmp', directory: true, mode: 0o1777 },
    { path: '/run', directory: true },
    {
      path: '/usr/local/bin/hawser',
      content: '#!/usr/local/bin/node\nimport("/hawser/cli/main.js");\n',
      mode: 0o755,
    },
  ];
  for (const directory of ['/etc/iproute2', '/usr/share/iproute2', '/usr/lib/iproute2']) {
    if (existsSync(directory)) files.push(...(await filesBelow(directory, directory)));
  }
  files.push(...(await filesBelow(outputDirectory, '/hawser')));
  return files;
}

async function filesBelow(directory: string, prefix: string): Promise<ImageFile[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const from = join(entry.parentPath, entry.name);
      return { path: `${prefix}/${relative(directory, from).split(sep).join('/')}`, from };
    });
}

/** Absolute paths of the shared libraries that a program is linked to, including its loader, according to ldd. */
async function linkedLibraries(program: string): Promise<string[]> {
  const { stdout } = await run('ldd', [program]);
  const missing = /^\s*(\S+) => not found$/m.exec(stdout);
  if (missing !== null) throw new Error(`${program} needs ${missing[1]}, which is not installed`);
  return [...stdout.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map((match) => match[1] ?? '');
}

/** Builds the archive. */
export async function buildHawserImage(): Promise<Image> {
  const { version } = await readManifest();
  return buildImage({
    name: imageName(version),
    output: imagePath,
    files: await imageFiles(),
    entrypoint: ['/usr/local/bin/node', ...engineOptions, '/hawser/cli/main.js'],
    // Return freed memory to the system: malloc(3) keeps a heap per thread, and raises its threshold after large allocations.
    env: [
      'PATH=/usr/local/bin:/usr/sbin:/usr/bin',
      'NODE_ENV=production',
      'MALLOC_ARENA_MAX=2',
      'MALLOC_TRIM_THRESHOLD_=131072',
    ],
    user: '65532:65532',
    labels: {
      'org.opencontainers.image.title': 'Hawser',
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.licenses': 'Apache-2.0',
    },
  });
}

if (import.meta.main) {
  await ensureNeeds(['image']);
  await build((line) => console.log(line));
  const image = await buildHawserImage();
  console.log(`${image.name} in ${relative(root, image.path)} (${image.digest})`);
}
