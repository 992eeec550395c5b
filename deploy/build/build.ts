/**
 * `npm run build`: Hawser as plain JavaScript in `dist/hawser`, with only its addon, so that it runs with just a node program.
 */
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { ensureNeeds } from '../needs/ensure.ts';
import { buildAddon } from './addon.ts';
import { bundle, workerFile } from './bundle.ts';

const root = join(import.meta.dirname, '..', '..');
export const outputDirectory = join(root, 'dist', 'hawser');

interface Manifest {
  name: string;
  version: string;
  license: string;
}

export async function readManifest(): Promise<Manifest> {
  return JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest;
}

/** Builds everything from scratch. */
export async function build(log: (line: string) => void): Promise<void> {
  await rm(outputDirectory, { recursive: true, force: true });
  await mkdir(outputDirectory, { recursive: true });
  log('native addon');
  await buildAddon();
  for (const file of ['index.js', 'build/Release/hawser.node'])
    await cp(join(root, 'native', file), join(outputDirectory, 'native', file));
  log('JavaScript');
  const packages = await bundle({ root, outputDirectory });
  await put(workerFile.path, workerFile.content);
  await refuseLeftovers();
  const { name, version, license } = await readManifest();
  const manifest = { name, version, license, type: 'module', bin: { hawser: 'cli/main.js' } };
  await put('package.json', `${JSON.stringify(manifest, null, 2)}\n`);
  await put('third-party-licenses.txt', await licensesOf(packages));
  log(`dist/hawser: ${packages.length} packages`);
}

async function put(path: string, content: string): Promise<void> {
  const file = join(outputDirectory, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
}

/** The texts that licences of packages require with copies of them. */
async function licensesOf(folders: readonly string[]): Promise<string> {
  const texts = await Promise.all(
    folders.map(async (folder) => {
      const { name, version, license } = JSON.parse(
        await readFile(join(root, folder, 'package.json'), 'utf8'),
      ) as Manifest;
      const files = (await readdir(join(root, folder))).filter((file) => /^(licen[cs]e|notice)/i.test(file));
      const said = await Promise.all(files.map((file) => readFile(join(root, folder, file), 'utf8')));
      return [`${name} ${version} (${license})`, ...said].join('\n\n');
    }),
  );
  return `${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}

/** A path to a TypeScript file that the bundler did not recognize as an import would fail only when it is used. */
async function refuseLeftovers(): Promise<void> {
  const leftovers: string[] = [];
  for (const entry of await readdir(outputDirectory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.js')) continue;
    const file = join(entry.parentPath, entry.name);
    const text = await readFile(file, 'utf8');
    const match = /['"`]\.{1,2}\/[^'"`\n*]*\.ts['"`]/.exec(text);
    if (match !== null) leftovers.push(`${relative(outputDirectory, file)}: ${match[0]}`);
  }
  if (leftovers.length > 0)
    throw new Error(`these paths are not there in the build: ${leftovers.join(', ')}`);
}

if (import.meta.main) {
  await ensureNeeds(['engine']);
  await build((line) => console.log(line));
}
