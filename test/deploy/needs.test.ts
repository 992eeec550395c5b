/**
 * The project's dependencies on the machine: compares the list with the sources, and tests how missing ones are found and
 * named.
 */
import { readFileSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isRecent, isStatic, missingNeeds, type Machine } from '../../deploy/needs/ensure.ts';
import {
  missingSentence,
  needs,
  needsOf,
  withIncluded,
  type Need,
  type Purpose,
} from '../../deploy/needs/needs.ts';
import { chosenSections, sections } from '../runner/sections.ts';

const root = join(import.meta.dirname, '..', '..');

/** Folders, and the purpose whose programs their sources may start. */
const startedIn: Record<string, Purpose> = {
  // Both compilers belong to one build.
  native: 'fuzz',
  'deploy/build': 'engine',
  'deploy/image': 'image',
  'daemon/host': 'network',
  'test/native': 'network',
  'test/daemon': 'network',
  'test/gateway': 'programs',
  'test/testbed': 'clusters',
  'test/support': 'clusters',
  'test/demo': 'clusters',
  'test/e2e': 'clusters',
  'bench/peering': 'clusters',
  'bench/reconverge': 'clusters',
  'test/interop': 'interop',
  'bench/tunnel': 'interop',
  'test/fuzz': 'fuzz',
  'test/bare': 'bare',
};

/** Present on each Debian: its essential packages, and apt. */
const everywhere = new Set(
  'apt-get bash cat chmod chroot cut find grep ldd ls mkdir nsenter rm setpriv sh sleep tar timeout touch unshare'.split(
    ' ',
  ),
);

/** Further programs of a package, besides the one that it is known by. */
const alsoBrought: Record<string, string> = {
  bridge: 'ip',
  ss: 'ip',
  tc: 'ip',
  'wg-quick': 'wg',
  'iptables-nft': 'iptables',
  'ip6tables-nft': 'iptables',
  'iptables-save': 'iptables',
  ctr: 'containerd',
  umount: 'mount',
};

/** Words in the place of a program's name that are not programs. */
const noPrograms = new Set(['a', 'info', 'left', 'right', 'env']);

/** Every way in which the sources start a program by its name. Commands that run in a pod do not count. */
const word = String.raw`'([a-z][\w+-]*)'`;
const place = String.raw`(?:\.\.\.(?:(?:bed|this)\.)?inside(?:\([\w']+\))?,\s*)?`;
const starts = [
  // run(['nft', …]), each.exec(['nft', …]), run([...bed.inside(side), 'nft', …])
  String.raw`\b(?:run|runAnyway|exec|spawn)\(\s*\[\s*${place}${word}`,
  // inNamespace(netns, ['nft', …]), onNode(node, ['ctr', …]), bed.spawn('left', ['socat', …]), start(space, ['socat', …])
  String.raw`\b(?:inNamespace|onNode|bed\.spawn|(?:this\.)?start)\(\s*[\w.()']+,\s*\[\s*${word}`,
  // spawn('ip', …), execFileSync('sh', …), promisify(execFile)('bash', …), command.text('ip', …)
  String.raw`(?:\b(?:spawn|spawnSync|execFile|execFileSync)\)?|[^.\w]run)\(\s*${word}\s*,`,
  // lab.in('a', 'busybox', …), bed.in(side, 'ss', …)
  String.raw`\b(?:lab|bed|this)\.(?:in|spawnIn)\(\s*[\w'.]+,\s*${word}`,
  // ['nsenter', …, '--', 'nft'], ['ip', 'netns', 'exec', name, 'sysctl']
  String.raw`'netns',\s*'exec',\s*[\w.]+,\s*${word}`,
  // process.env['CC'] ?? 'gcc'
  String.raw`process\.env\['\w+'\] \?\? ${word}`,
  // containerd: ['containerd', …], and a program that others are started by
  String.raw`\b([a-z]+): \['(?=\1',)`,
  String.raw`\? \[${word}, '--`,
  String.raw`^const tools = \[${word}, ${word}\]`,
  // Lines of shell: space.run('iptables-nft -P FORWARD DROP; iptables-nft …')
  String.raw`['\x60;|&] *((?:iptables|ip6tables)(?:-nft)?|nft|ip|sysctl|unshare|tc|conntrack|ipset) [-a-z]`,
].map((pattern) => new RegExp(pattern, 'gm'));

const startedBy = (source: string): string[] =>
  starts.flatMap((pattern) =>
    [...source.matchAll(pattern)].flatMap((match) => match.slice(1).filter((found) => found !== undefined)),
  );

async function sourcesIn(folder: string): Promise<{ file: string; text: string }[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.map(async (file) => ({ file, text: await readFile(file, 'utf8') })));
}

const list = suite('programs that the project needs');

list('every program that the sources start is in the list', async () => {
  const wrong: string[] = [];
  const unseen = new Set([
    'ip',
    'nft',
    'curl',
    'go',
    'gcc',
    'cargo',
    'g++',
    'clang++',
    'containerd',
    'socat',
  ]);
  for (const [folder, purpose] of Object.entries(startedIn)) {
    const listed = new Set(
      needsOf([purpose], 'x64').map(({ file }) => file.slice(file.lastIndexOf('/') + 1)),
    );
    for (const { file, text } of await sourcesIn(folder)) {
      for (const program of startedBy(text)) {
        unseen.delete(program);
        if (everywhere.has(program) || noPrograms.has(program)) continue;
        if (!listed.has(alsoBrought[program] ?? program)) {
          wrong.push(`${relative(root, file)} starts ${program}, which is not among what "${purpose}" needs`);
        }
      }
    }
  }
  assert.equal(wrong, []);
  assert.equal([...unseen], [], 'these are started, and the scan did not see it');
});

list('every row is used by a source, or by a program that a source starts', async () => {
  const folders = ['native', 'deploy/build', 'deploy/image', 'daemon', 'test', 'bench'];
  const texts = (await Promise.all(folders.map(sourcesIn)))
    .flat()
    .filter(({ file }) => !file.endsWith('needs.test.ts'))
    .map(({ text }) => text)
    .join('\n');
  const used = (need: Need): boolean => {
    const name = need.usedAs ?? need.file.slice(need.file.lastIndexOf('/') + 1);
    return new RegExp(`(?<![\\w-])${name.replaceAll('+', '\\+')}`).test(texts);
  };
  assert.equal(
    needs.filter((need) => need.startedBy === undefined && !used(need)).map(({ file }) => file),
    [],
  );
});

list('every row has a source and a reason', () => {
  for (const need of needs) {
    assert.ok(need.apt !== undefined || need.from !== undefined, need.file);
    assert.ok(need.for.length > 0 && need.why.length > 10, need.file);
  }
  assert.is(new Set(needs.map(({ file }) => file)).size, needs.length);
  assert.ok(withIncluded(['bare']).has('engine'));
});

list('every script of package.json goes through start.mjs, and checks what it needs', async () => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const needNothing = new Set(['build:cli', 'generate', 'hawser', 'test', 'test:unit', 'test:e2e']);
  for (const [name, script] of Object.entries(scripts)) {
    const entry = /^node deploy\/start\.mjs (\S+)/.exec(script)?.[1];
    assert.ok(entry, `${name} does not start with node deploy/start.mjs: ${script}`);
    if (needNothing.has(name) || entry.startsWith('node_modules/')) continue;
    const text = await readFile(join(root, entry), 'utf8');
    assert.ok(/\b(?:ensureNeeds|up)\(/.test(text), `${name} does not make sure of what it needs`);
  }
});

list('a section that is run alone includes those that it needs', () => {
  const names = (chosen: string[]) => chosenSections(chosen).map(({ name }) => name);
  assert.equal(names(['types']), ['types']);
  assert.equal(names(['e2e']), ['packages', 'native-build', 'programs', 'e2e']);
  assert.equal(names(['unit']), ['packages', 'native-build', 'unit']);
  assert.is(names([]).length, sections.length);
  for (const { name, after = [] } of sections) {
    for (const other of after) {
      const at = (wanted: string) => sections.findIndex((section) => section.name === wanted);
      assert.ok(at(other) >= 0 && at(other) < at(name), `${other} before ${name}`);
    }
  }
});

/** A machine that has these paths, with the given outputs of programs. */
function machine(paths: readonly string[], says: Record<string, string> = {}): Machine {
  return {
    processor: 'x64',
    environment: { PATH: '/opt/go/bin' },
    find: (pattern) => paths.find((path) => path === pattern),
    read: () => Buffer.from('\x7fELF'),
    ask: (program) => Promise.resolve(says[program]),
  };
}

list('missing entries are found by program, path and version', async () => {
  const missing = async (purpose: Purpose, ...args: Parameters<typeof machine>) =>
    (await missingNeeds([purpose], machine(...args))).map(({ file }) => file);
  const compiler = ['/usr/bin/g++', '/usr/include/intel-ipsec-mb.h'];
  assert.equal(await missing('image', [...compiler, '/usr/sbin/ip'], { '/usr/bin/g++': '12.2.0\n' }), [
    'nft',
    'conntrack',
  ]);
  assert.equal(await missing('engine', compiler, { '/usr/bin/g++': '9.4.0\n' }), ['g++']);
  assert.equal(await missing('engine', ['/usr/bin/g++'], { '/usr/bin/g++': '10.2.1\n' }), [
    '/usr/include/intel-ipsec-mb.h',
  ]);
  const go = async (said: string) =>
    (await missing('programs', ['/opt/go/bin/go', '/usr/bin/curl'], { '/opt/go/bin/go': said })).includes(
      'go',
    );
  assert.is(await go('go1.26.8\nlocal\n'), false);
  assert.is(await go('go1.24.1\nauto\n'), false, 'it fetches a newer one');
  assert.is(await go('go1.24.1\nlocal\n'), true);
  assert.is(await go('go1.19.8\n\n'), true);
  const named = { ...machine(['/usr/bin/clang-21']), environment: { CXX: '/usr/bin/clang-21' } };
  named.ask = () => Promise.resolve('21.1.0');
  assert.equal(
    (await missingNeeds(['engine'], named)).map(({ file }) => file),
    ['/usr/include/intel-ipsec-mb.h'],
  );
});

list('all missing entries are named at once, for apt, dnf and by program', () => {
  const missing = needs.filter(({ file }) => ['nft', 'go', 'g++'].includes(file));
  const said = missingSentence(missing);
  for (const part of [
    'apt-get install g++ nftables',
    'dnf install gcc-c++ nftables',
    'go from https://go.dev/dl',
  ])
    assert.ok(said.includes(part), said);
  assert.match(
    said,
    /^This machine lacks g\+\+ 10\.0 or newer \(compiles [^)]*\), nft \([^)]*\), go 1\.26 or newer/,
  );
});

list('versions are compared as numbers', () => {
  assert.is(isRecent('go version go1.9.1', [1, 26]), false);
  assert.is(isRecent('2', [1, 26]), true);
  assert.is(isRecent('none', [1, 26]), false);
});

list('a program that needs shared libraries is recognised', () => {
  assert.is(isStatic(readFileSync('/bin/sh')), false);
  assert.is(isStatic(Buffer.from('\x7fELF and nothing more')), true);
});

list.run();
