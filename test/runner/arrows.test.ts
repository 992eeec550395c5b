/**
 * The allowed imports between rooms are enforced only if the linter recognizes every form of import: each rule is violated here
 * on purpose.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = join(import.meta.dirname, '..', '..');

/** A file, what it imports, and whether that is allowed. */
const crossings: [file: string, specifier: string, allowed: boolean][] = [
  ['shared/net/a.ts', '../names.ts', true],
  ['shared/net/a.ts', 'zod', true],
  ['shared/net/a.ts', 'node:fs', false],
  ['shared/net/a.ts', '../../daemon/kube/index.ts', false],
  ['shared/a.ts', './../daemon/clients/gateway/index.ts', false],
  ['shared/a.ts', '../native/index.ts', false],
  ['gateway/http/app.ts', '../../shared/names.ts', true],
  ['gateway/routes/a.ts', '../peerings/a.ts', true],
  ['gateway/routes/a.ts', 'node:http', false],
  ['gateway/routes/a.ts', '../../daemon/kube/client.ts', false],
  ['gateway/node.ts', 'node:https', true],
  ['gateway/node.ts', '../cli/main.ts', false],
  ['gateway/node.ts', '../daemon/clients/kubernetes/transport.ts', true],
  ['gateway/kube/a.ts', '../../shared/kube/client.ts', true],
  ['gateway/kube/a.ts', '../../daemon/clients/kubernetes/transport.ts', false],
  ['gateway/deno.ts', '../daemon/clients/kubernetes/transport.ts', false],
  ['shared/kube/a.ts', 'node:https', false],
  ['shared/kube/a.ts', '../../gateway/kube/client.ts', false],
  ['gateway/node.ts', '../daemon/clients/gateway/https-fetch.ts', false],
  ['gateway/node.ts', '../daemon/kube/index.ts', false],
  ['daemon/clients/gateway/a.ts', 'node:tls', true],
  ['daemon/clients/gateway/a.ts', '../../kube/client.ts', false],
  ['daemon/peering/a.ts', '../clients/gateway/index.ts', true],
  ['daemon/peering/a.ts', '../../gateway/http/app.ts', false],
  ['daemon/peering/a.ts', '../../gateway/routes/a.ts', false],
  ['daemon/peering/a.ts', '../../gateway/credentials/a.ts', false],
  ['daemon/peering/a.ts', '../kube/client.ts', true],
  ['daemon/peering/a.ts', '../fabric/plan.ts', false],
  ['daemon/peering/deep/a.ts', '../../vnode/plan.ts', false],
  ['daemon/fabric/a.ts', '../wireguard/handshake.ts', false],
  ['daemon/fabric/a.ts', '../../native/index.ts', true],
  ['daemon/fabric/plan/a.ts', '../ports.ts', true],
  ['daemon/fabric/plan/a.ts', '../../kube/index.ts', false],
  ['daemon/fabric/plan/a.ts', '../node/index.ts', false],
  ['daemon/fabric/plan/a.ts', 'node:crypto', false],
  ['daemon/fabric/controller/a.ts', '../plan/input.ts', true],
  ['daemon/fabric/controller/a.ts', '../node/index.ts', false],
  ['daemon/fabric/node/a.ts', '../controller/index.ts', false],
  ['daemon/fabric/node/a.ts', '../../wireguard/handshake.ts', false],
  ['daemon/vnode/a.ts', '../kubelet/server.ts', false],
  ['daemon/vnode/a.ts', '../roles/controller.ts', false],
  ['daemon/kube/a.ts', '../peering/a.ts', false],
  ['daemon/kube/a.ts', '../peers/a.ts', false],
  ['daemon/peers/a.ts', '../kube/index.ts', true],
  ['daemon/peers/a.ts', '../vnode/a.ts', false],
  ['daemon/host/a.ts', '../fabric/a.ts', false],
  ['daemon/roles/a.ts', '../fabric/a.ts', true],
  ['daemon/roles/a.ts', '../../cli/kube.ts', false],
  ['daemon/main.ts', './roles/a.ts', true],
  ['daemon/main.ts', '../test/testbed/index.ts', false],
  ['cli/kube.ts', '../daemon/clients/gateway/index.ts', true],
  ['cli/commands/peer.ts', '../../daemon/clients/gateway/index.ts', true],
  ['cli/kube.ts', '../daemon/kube/client.ts', false],
  ['cli/kube.ts', '../gateway/http/app.ts', false],
  ['cli/commands/peer.ts', '../../daemon/main.ts', false],
  ['cli/commands/daemon.ts', '../../daemon/main.ts', true],
  ['cli/commands/tunnel.ts', '../../native/index.ts', false],
  ['native/a.ts', '../shared/names.ts', false],
  ['deploy/crds.ts', '../shared/api/kinds.ts', true],
  ['deploy/image/build.ts', '../../cli/main.ts', false],
  ['test/e2e/a.ts', '../../daemon/kube/client.ts', true],
];

/** Every form in which one file can import another. */
const forms = (specifier: string): string[] => [
  `import { a } from '${specifier}';\nconsole.log(a);\n`,
  `import type { A } from '${specifier}';\nexport type B = A;\n`,
  `export { a } from '${specifier}';\n`,
  `export * from '${specifier}';\n`,
  `export const a = () => import('${specifier}');\n`,
];

interface Diagnostic {
  code: string;
  filename: string;
}

/** Lints planted files with the project's own rules; returns the paths of those whose import was reported. */
async function lint(files: Map<string, string>): Promise<Set<string>> {
  const directory = await mkdtemp(join(tmpdir(), 'hawser-arrows-'));
  try {
    await copyFile(join(root, 'oxlint.config.ts'), join(directory, 'oxlint.config.ts'));
    await symlink(join(root, 'node_modules'), join(directory, 'node_modules'));
    for (const [file, content] of files) {
      await mkdir(dirname(join(directory, file)), { recursive: true });
      await writeFile(join(directory, file), content);
    }
    const output = await new Promise<string>((resolve, reject) => {
      const program = join(root, 'node_modules', '.bin', 'oxlint');
      execFile(program, ['--format=json'], { cwd: directory, maxBuffer: 2 ** 26 }, (error, stdout) =>
        stdout === '' && error !== null ? reject(error) : resolve(stdout),
      );
    });
    const { diagnostics } = JSON.parse(output) as { diagnostics: Diagnostic[] };
    const caught = diagnostics.filter(({ code }) => code.includes('no-restricted-imports'));
    return new Set(caught.map(({ filename }) => filename));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const arrows = suite('import rules between the rooms');

/** Entries keep their names, since rules refer to them; other files get one for each import. */
const entry = /^(gateway\/node|cli\/commands\/(daemon|tunnel))\.ts$/;

arrows('forbidden imports are reported in every form, and allowed ones are not', async () => {
  // A path can be planted once in a tree, so entries fill several trees.
  const trees: Map<string, string>[] = [];
  const wrong: string[] = [];
  const verdicts: { tree: number; path: string; allowed: boolean; what: string }[] = [];
  for (const [index, [file, specifier, allowed]] of crossings.entries()) {
    for (const [form, content] of forms(specifier).entries()) {
      const path = entry.test(file) ? file : file.replace(/\.ts$/, `-${index}-${form}.ts`);
      let tree = trees.findIndex((each) => !each.has(path));
      if (tree < 0) tree = trees.push(new Map()) - 1;
      trees[tree]?.set(path, content);
      verdicts.push({ tree, path, allowed, what: `${file}: ${content.split('\n')[0]}` });
    }
  }
  const caught = await Promise.all(trees.map(lint));
  for (const { tree, path, allowed, what } of verdicts) {
    if (caught[tree]?.has(path) === allowed) {
      wrong.push(`${allowed ? 'allowed, but caught' : 'forbidden, but not caught'}: ${what}`);
    }
  }
  assert.equal(wrong, []);
});

arrows.run();
