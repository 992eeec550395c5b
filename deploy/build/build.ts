/**
 * `npm run build`: Hawser as plain JavaScript in `dist/hawser`, with its addon and what it needs of node_modules and
 * nothing else, so that a node program alone runs it. The folders keep their places, so that what is found beside a
 * module is found there too.
 */
import { spawn } from 'node:child_process';
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

const root = join(import.meta.dirname, '..', '..');
export const outputDirectory = join(root, 'dist', 'hawser');

interface Manifest {
  name: string;
  version: string;
  license: string;
  dependencies: Record<string, string>;
}

/** Files of packages that no running program reads. */
const superfluous =
  /\.(map|md|markdown|d\.[cm]?ts|ts|flow)$|(^|\/)(test|tests|docs|example|examples|\.github)\//;

export async function readManifest(): Promise<Manifest> {
  return JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest;
}

/** Builds everything anew. */
export async function build(log: (line: string) => void): Promise<void> {
  await rm(outputDirectory, { recursive: true, force: true });
  await mkdir(outputDirectory, { recursive: true });
  log('native addon');
  await command(process.execPath, [join(root, 'native', 'build.ts')]);
  log('JavaScript');
  await command(join(root, 'node_modules', '.bin', 'tsc'), [
    '-p',
    join(import.meta.dirname, 'tsconfig.json'),
  ]);
  await refuseLeftovers();
  await cp(join(root, 'native', 'index.js'), join(outputDirectory, 'native', 'index.js'));
  await cp(
    join(root, 'native', 'build', 'Release', 'hawser.node'),
    join(outputDirectory, 'native', 'build', 'Release', 'hawser.node'),
  );
  log('packages');
  const { name, version, license, dependencies } = await readManifest();
  const packages = await neededPackages(Object.keys(dependencies));
  for (const folder of packages) {
    await cp(join(root, folder), join(outputDirectory, folder), {
      recursive: true,
      filter: (source) => {
        const inside = relative(join(root, folder), source);
        // A package within a package is copied by itself, if it is needed.
        return inside === '' || (!inside.startsWith('node_modules') && !superfluous.test(inside));
      },
    });
  }
  const manifest = { name, version, license, type: 'module', bin: { hawser: 'cli/main.js' } };
  await writeFile(join(outputDirectory, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  log(`dist/hawser: ${packages.length} packages`);
}

/**
 * The folders of the named packages and of all that these need, by the way Node looks for them. Packages of types
 * alone are left out.
 */
async function neededPackages(names: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  const add = async (name: string, from: string): Promise<void> => {
    if (name.startsWith('@types/') || name === 'undici-types') return;
    for (let directory = from; ; directory = dirname(directory)) {
      const folder = join(directory, 'node_modules', name);
      const text = await readFile(join(root, folder, 'package.json'), 'utf8').catch(() => undefined);
      if (text !== undefined) {
        if (found.has(folder)) return;
        found.add(folder);
        const { dependencies = {} } = JSON.parse(text) as Partial<Manifest>;
        for (const dependency of Object.keys(dependencies)) await add(dependency, folder);
        return;
      }
      if (directory === '.') throw new Error(`${name}, needed by ${from}, is not installed: run npm ci`);
    }
  };
  for (const name of names) await add(name, '.');
  return [...found].toSorted();
}

/** A path to a TypeScript file that the compiler did not see as an import would fail only when it is used. */
async function refuseLeftovers(): Promise<void> {
  const leftovers: string[] = [];
  for (const entry of await readdir(outputDirectory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.js')) continue;
    const file = join(entry.parentPath, entry.name);
    const text = await readFile(file, 'utf8');
    const match = /['"`]\.{1,2}\/[^'"`\n]*\.ts['"`]/.exec(text);
    if (match !== null) leftovers.push(`${relative(outputDirectory, file)}: ${match[0]}`);
  }
  if (leftovers.length > 0)
    throw new Error(`these paths are not there in the build: ${leftovers.join(', ')}`);
}

function command(program: string, args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: 900_000,
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ${args.join(' ')} failed`));
    });
  });
}

if (import.meta.main) await build((line) => console.log(line));
