/** Writes what is committed but generated from the command: its reference, the troubleshooting page, the help texts. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { entries } from '../commands.ts';
import { allHelp, cliReference, loadAll } from './commands.ts';
import { troubleshooting } from './troubleshooting.ts';

const root = join(import.meta.dirname, '..', '..');

/** Path from the root of the repository → content. */
export async function generatedFiles(): Promise<Map<string, string>> {
  const commands = await loadAll(entries);
  return new Map([
    ['docs/cli.md', cliReference(commands)],
    ['docs/troubleshooting.md', troubleshooting()],
    ['test/cli/golden/help.txt', allHelp(commands)],
  ]);
}

/** Paths of generated files that are missing or outdated. */
export async function outdatedFiles(): Promise<string[]> {
  const outdated: string[] = [];
  for (const [path, content] of await generatedFiles()) {
    const current = await readFile(join(root, path), 'utf8').catch(() => undefined);
    if (current !== content) outdated.push(path);
  }
  return outdated;
}

if (import.meta.main) {
  const files = await generatedFiles();
  for (const path of await outdatedFiles()) {
    await writeFile(join(root, path), files.get(path) ?? '');
    console.log(path);
  }
}
