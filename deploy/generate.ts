/**
 * `npm run generate`: writes committed files that are generated from others: the CRDs of the chart and their reference from
 * shared/api, the reference of rights from deploy/rights.ts. `--check` only compares.
 */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { dump } from 'js-yaml';
import { crdReference } from './crd-reference.ts';
import { crdManifests } from './crds.ts';
import { rightsReference } from './rights-reference.ts';

const root = join(import.meta.dirname, '..');
const crdDirectory = 'deploy/chart/crds';

/** Path in the repository → content, of every generated file. */
export function generatedFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const manifest of crdManifests()) {
    const { name } = (manifest as { metadata: { name: string } }).metadata;
    const heading = '# Made from shared/api by `npm run generate`.\n';
    const text = heading + dump(manifest, { noRefs: true, lineWidth: 110 });
    files.set(`${crdDirectory}/${name.split('.')[0]}.yaml`, text);
  }
  files.set('docs/reference/crds.md', crdReference());
  files.set('docs/reference/rights.md', rightsReference());
  return files;
}

/** Paths of files that are missing, outdated or superfluous. */
export async function outdatedFiles(): Promise<string[]> {
  const files = generatedFiles();
  const outdated = (await readdir(join(root, crdDirectory)))
    .map((name) => `${crdDirectory}/${name}`)
    .filter((path) => !files.has(path));
  for (const [path, content] of files) {
    const current = await readFile(join(root, path), 'utf8').catch(() => undefined);
    if (current !== content) outdated.push(path);
  }
  return outdated;
}

if (import.meta.main) {
  const outdated = await outdatedFiles();
  if (process.argv.includes('--check')) {
    if (outdated.length > 0) {
      console.error(`not current: ${outdated.join(', ')}; run npm run generate`);
      process.exitCode = 1;
    }
  } else {
    const files = generatedFiles();
    for (const path of outdated) {
      const content = files.get(path);
      await mkdir(dirname(join(root, path)), { recursive: true });
      if (content === undefined) await rm(join(root, path));
      else await writeFile(join(root, path), content);
      console.log(path);
    }
  }
}
