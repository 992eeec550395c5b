/** `npm run generate`: writes what is committed but made from sources: the CRDs of the chart. `--check` only compares. */
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dump } from 'js-yaml';
import { crdManifests } from './crds.ts';

export const crdDirectory = join(import.meta.dirname, 'chart', 'crds');

/** File name → content of everything that belongs into `chart/crds`. */
export function crdFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const manifest of crdManifests()) {
    const { name } = (manifest as { metadata: { name: string } }).metadata;
    const heading = '# Made from shared/api by `npm run generate`.\n';
    files.set(`${name.split('.')[0]}.yaml`, heading + dump(manifest, { noRefs: true, lineWidth: 110 }));
  }
  return files;
}

/** Names of files that are missing, outdated or too many. */
export async function outdatedCrdFiles(): Promise<string[]> {
  const wanted = crdFiles();
  const outdated = (await readdir(crdDirectory)).filter((name) => !wanted.has(name));
  for (const [name, content] of wanted) {
    const current = await readFile(join(crdDirectory, name), 'utf8').catch(() => undefined);
    if (current !== content) outdated.push(name);
  }
  return outdated;
}

if (import.meta.main) {
  const outdated = await outdatedCrdFiles();
  if (process.argv.includes('--check')) {
    if (outdated.length > 0) {
      console.error(`not current: ${outdated.join(', ')}; run npm run generate`);
      process.exitCode = 1;
    }
  } else {
    const wanted = crdFiles();
    for (const name of outdated) {
      const content = wanted.get(name);
      if (content === undefined) await rm(join(crdDirectory, name));
      else await writeFile(join(crdDirectory, name), content);
      console.log(`deploy/chart/crds/${name}`);
    }
  }
}
