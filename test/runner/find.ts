/** Finds test files, and what each of them needs. */
import { readFile, readdir, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';

const root = join(import.meta.dirname, '..', '..');

/** A test file's needs: only this program, or the testbed's programs (an API server, whole clusters) or kernel. */
export type Need = 'nothing' | 'testbed';

export interface TestFile {
  /** Relative to the project's root, with slashes. */
  file: string;
  need: Need;
  /** Set if tests in it are marked with `only`, which hides all others of the file. */
  singledOut: boolean;
}

/**
 * Every `*.test.ts` under the given folders or files, sorted.
 * @throws Error for a path that does not exist: a folder that moved must not turn into "nothing to test"
 */
export async function findTestFiles(paths: readonly string[]): Promise<TestFile[]> {
  const found = new Set<string>();
  for (const path of paths) {
    const absolute = resolve(path);
    const what = await stat(absolute).catch(() => undefined);
    if (what === undefined) throw new Error(`${path}: there is no such file or folder`);
    if (what.isFile()) found.add(absolute);
    else {
      for (const entry of await readdir(absolute, { recursive: true, withFileTypes: true })) {
        if (entry.isFile() && entry.name.endsWith('.test.ts')) found.add(join(entry.parentPath, entry.name));
      }
    }
  }
  const files = [...found].toSorted();
  return Promise.all(
    files.map(async (file) => {
      const source = await readFile(file, 'utf8');
      return {
        file: relative(root, file).split(sep).join('/'),
        need: await needOf(file),
        singledOut: /^\s*\w+\.only\(/m.test(source),
      };
    }),
  );
}

/**
 * Whether a test file imports the testbed, directly or through helpers. Only files below `test/` are followed, since the
 * product's own code does not use the testbed.
 */
export async function needOf(file: string, seen = new Set<string>()): Promise<Need> {
  seen.add(file);
  const source = await readFile(file, 'utf8').catch(() => '');
  for (const specifier of relativeImports(source)) {
    const imported = resolve(dirname(file), specifier);
    if (starters.has(imported)) return 'testbed';
    if (!imported.startsWith(join(root, 'test')) || seen.has(imported)) continue;
    if ((await needOf(imported, seen)) === 'testbed') return 'testbed';
  }
  return 'nothing';
}

/** The modules that start the testbed's programs, and those that create network namespaces. */
const starters = new Set(
  [
    'testbed/index',
    'testbed/bed',
    'testbed/up-control-plane',
    'testbed/programs',
    'daemon/clusters',
    'daemon/fabric/network-bed',
    'daemon/host/namespace',
  ].map((name) => join(root, 'test', `${name}.ts`)),
);

/** Relative imports of a source, without type imports. */
export function relativeImports(source: string): string[] {
  const imports = source.matchAll(
    /\b(?:import|export)\s+(?!type\b)(?:[^;'"]*?\sfrom\s*)?['"](\.[^'"]+)['"]/g,
  );
  const dynamic = source.matchAll(/\bimport\(\s*['"](\.[^'"]+)['"]/g);
  return [...imports, ...dynamic].map((match) => match[1] ?? '');
}
