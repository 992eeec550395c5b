/** Programs that share packages must have the same versions of them, which keeps a cold build short. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addonObjects } from '../addons.ts';
import { buildProgress, progressText } from '../build-progress.ts';
import { planBed } from '../plan.ts';

const programs = join(import.meta.dirname, '..', 'programs');

/** Module → version of the requirements in a go.mod. */
async function required(program: string): Promise<Map<string, string>> {
  const text = await readFile(join(programs, program, 'go.mod'), 'utf8');
  const blocks = text.replaceAll(/^(?:exclude|replace|tool) \([^)]*\)|^(?:exclude|replace|tool) .*$/gm, '');
  return new Map(
    [...blocks.matchAll(/^(?:require |\t)([\w./~-]+) (v\S+)/gm)].map(([, name = '', version = '']) => [
      name,
      version,
    ]),
  );
}

/** CoreDNS contains nothing of these: only tests of other modules need them. */
const notCompiled = new Set(['golang.org/x/sync', 'golang.org/x/tools']);

test('modules that CoreDNS and Helm share with Kubernetes have the same version', async () => {
  const kubernetes = await required('kubernetes');
  assert.ok(kubernetes.size > 100);
  for (const program of ['coredns', 'helm']) {
    const own = await required(program);
    const shared = [...own].filter(
      ([name]) => kubernetes.has(name) && !(program === 'coredns' && notCompiled.has(name)),
    );
    assert.ok(shared.length > 30, program);
    assert.equal(
      shared.filter(([name, version]) => version !== kubernetes.get(name)),
      [],
      program,
    );
  }
});

test('CoreDNS is built with exactly the plugins of the Corefile', async () => {
  const main = await readFile(join(programs, 'coredns', 'main.go'), 'utf8');
  const imported = [...main.matchAll(/coredns\/plugin\/(\w+)"/g)].map((match) => match[1] ?? '');
  const ordered =
    /Directives = \[\]string\{([^}]*)\}/.exec(main)?.[1]?.replaceAll(/[" ]/g, '').split(',') ?? [];
  const [cluster] = planBed({ name: 'plugins' }, 0, '/tmp').clusters;
  assert.ok(cluster);
  const corefile = JSON.stringify(addonObjects(cluster)).match(/\.:53 \{.*?\\n\}/)?.[0] ?? '';
  const named = [...corefile.matchAll(/\\n {4}(\w+)/g)].map((match) => match[1] ?? '');
  assert.equal(imported.toSorted(), named.toSorted());
  assert.equal(ordered.toSorted(), named.toSorted());
});

test('each program has exactly its modules', async () => {
  for (const program of await readdir(programs)) {
    const files = (await readdir(join(programs, program))).filter((file) => file !== 'main.go');
    assert.equal(files.toSorted(), ['go.mod', 'go.sum'], program);
  }
});

test('progress is estimated from the programs’ usual build times and this machine’s speed', () => {
  const expectedSeconds = [300, 100, 100];
  const at = (done: number, doneSeconds: number, currentSeconds: number) =>
    buildProgress({ expectedSeconds, done, doneSeconds, currentSeconds });
  assert.equal(at(0, 0, 0), { percent: 0, secondsLeft: 500 });
  assert.equal(at(0, 0, 150), { percent: 30, secondsLeft: 350 });
  assert.equal(at(0, 0, 900), { percent: 57, secondsLeft: 215 }, 'later than expected');
  assert.equal(at(1, 600, 0), { percent: 60, secondsLeft: 400 }, 'half as fast');
  assert.equal(at(1, 600, 100), { percent: 70, secondsLeft: 300 });
  assert.equal(at(3, 1000, 0), { percent: 100, secondsLeft: 0 });
  const text = (done: number, doneSeconds: number) =>
    progressText({ expectedSeconds, done, doneSeconds, currentSeconds: 0 });
  assert.equal(
    [text(1, 300), text(2, 200), text(3, 9)],
    ['60 %, about 3 min left', '80 %, about 50 s left', '100 %'],
  );
});

test.run();
