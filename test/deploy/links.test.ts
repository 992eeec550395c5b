/** Every relative link of a document leads to a file that exists, and every anchor to a heading in it. */
import { execFile } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = join(import.meta.dirname, '..', '..');
const links = suite('links of the documents');

/** Text outside of code, where brackets are not links. */
const prose = (text: string) => text.replaceAll(/^```[^]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, 'code');

/** Anchors that GitHub makes from headings: lower case, no punctuation, dashes for spaces; duplicates get a number. */
export function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading = ''] of text.replaceAll(/^```[^]*?^```/gm, '').matchAll(/^#{1,6} (.+)$/gm)) {
    const anchor = heading
      .trim()
      .toLowerCase()
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replaceAll(/[^\p{L}\p{N}\-_ ]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    anchors.add(count === 0 ? anchor : `${anchor}-${count}`);
  }
  return anchors;
}

/** The broken links of one document, one line each. */
async function brokenLinks(
  path: string,
  text: string,
  read: (path: string) => Promise<string>,
): Promise<string[]> {
  const broken: string[] = [];
  for (const [, target = ''] of prose(text).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [file = '', anchor] = target.split('#');
    const at = file === '' ? path : normalize(join(dirname(path), file));
    try {
      if (anchor !== undefined && !anchorsOf(await read(at)).has(anchor))
        broken.push(`${path}: no heading ${target}`);
      else if (anchor === undefined) await access(join(root, at));
    } catch {
      broken.push(`${path}: no file ${target}`);
    }
  }
  return broken;
}

const read = (path: string) => readFile(join(root, path), 'utf8');

async function documents(): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    'git',
    ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'],
    { cwd: root },
  );
  return stdout.split('\n').filter((path) => path !== '');
}

links('a link to a file or heading that does not exist is found', async () => {
  const text = '# A b, `c`!\n\n[x](#a-b-c) [y](#gone) [z](gone.md) [w](README.md#gone) [v](https://a.b/c)\n';
  const broken = await brokenLinks('a.md', text, (path) =>
    path === 'a.md' ? Promise.resolve(text) : read(path),
  );
  assert.equal(broken, [
    'a.md: no heading #gone',
    'a.md: no file gone.md',
    'a.md: no heading README.md#gone',
  ]);
});

links('every relative link and anchor of every document exists', async () => {
  const paths = await documents();
  assert.ok(paths.length > 15, `${paths.length} documents`);
  const broken = await Promise.all(paths.map(async (path) => brokenLinks(path, await read(path), read)));
  assert.equal(broken.flat(), []);
});

links('every page of docs/ is reached from the README', async () => {
  const reached = new Set<string>(['README.md']);
  for (const path of reached) {
    for (const [, target = ''] of prose(await read(path)).matchAll(/\]\(([^)\s#]+\.md)(?:#[^)]*)?\)/g))
      if (!/^[a-z]+:/.test(target)) reached.add(normalize(join(dirname(path), target)));
  }
  assert.equal(
    (await documents()).filter((path) => path.startsWith('docs/') && !reached.has(path)),
    [],
  );
});

links.run();
