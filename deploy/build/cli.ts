/**
 * `npm run build:cli`: the `hawser` command for users. `dist/hawser.mjs` is one file for any Node from 20 on;
 * `dist/hawser-linux-amd64` is the same including Node, for every Linux that supports this Node.
 *
 * Cluster processes (`daemon`, `gateway`) and commands that need the packet engine (`tunnel`) are only in the image.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { build, type Plugin } from 'esbuild';
import { readManifest } from './build.ts';
import { englishOnly, lazyProtocols } from './bundle.ts';

const root = join(import.meta.dirname, '..', '..');
export const commandFile = join(root, 'dist', 'hawser.mjs');
export const commandProgram = join(root, 'dist', 'hawser-linux-amd64');

/** Commands that only the image can run: each is replaced by an error with its message. */
const inTheImage: Record<string, string> = {
  'daemon/main.ts': 'daemonProcess',
  'gateway/node.ts': 'runGateway',
  'daemon/roles/tunnel.ts': 'runTunnel',
};

const leftOut: Plugin = {
  name: 'what the image runs',
  setup: (bundler) =>
    bundler.onLoad({ filter: /\/(daemon\/main|gateway\/node|daemon\/roles\/tunnel)\.ts$/ }, ({ path }) => {
      const name = inTheImage[relative(root, path)];
      if (name === undefined) return undefined;
      return {
        contents: `import { CommandError } from '${join(root, 'cli', 'exit.ts')}';
export async function ${name}() {
  throw new CommandError('this build of the command does not run it: it is in the container image, and in the sources');
}`,
        loader: 'ts',
      };
    }),
};

/** The version, which the sources read from their package.json. */
const versionInside = (version: string): Plugin => ({
  name: 'version',
  setup: (bundler) =>
    bundler.onLoad({ filter: /cli\/version\.ts$/ }, () => ({
      contents: `export const ownVersion = async () => ${JSON.stringify(version)};`,
      loader: 'ts',
    })),
});

/**
 * The command uses only the kubeconfig reader of Kubernetes' client. An import of the whole package would load its generated
 * clients, three megabytes, at each start.
 */
const kubeconfigAlone: Plugin = {
  name: 'kubeconfig alone',
  setup(bundler) {
    const folder = join(root, 'node_modules', '@kubernetes', 'client-node', 'dist');
    bundler.onResolve({ filter: /^@kubernetes\/client-node$/ }, () => ({
      path: 'client',
      namespace: 'kubeconfig',
    }));
    bundler.onLoad({ filter: /.*/, namespace: 'kubeconfig' }, () => ({
      contents: `export { KubeConfig } from ${JSON.stringify(join(folder, 'config.js'))};`,
      resolveDir: folder,
    }));
    bundler.onResolve({ filter: /^\./ }, async ({ path, resolveDir, kind, pluginData }) => {
      if (pluginData === 'again' || !resolveDir.startsWith(folder)) return undefined;
      const found = await bundler.resolve(path, { resolveDir, kind, pluginData: 'again' });
      return found.errors.length > 0 ? undefined : { path: found.path, sideEffects: false };
    });
  },
};

/** Bundles the command into one file. */
export async function buildCommand(): Promise<void> {
  const { version } = await readManifest();
  await build({
    absWorkingDir: root,
    entryPoints: ['cli/main.ts'],
    outfile: commandFile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
    plugins: [leftOut, versionInside(version), kubeconfigAlone, lazyProtocols, englishOnly],
  });
  await chmod(commandFile, 0o755);
}

/** Embeds the bundle into a copy of the running Node. */
export async function buildProgram(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'hawser-sea-'));
  try {
    const config = join(directory, 'sea.json');
    await writeFile(
      config,
      JSON.stringify({
        main: commandFile,
        mainFormat: 'module',
        executable: process.execPath,
        output: commandProgram,
        disableExperimentalSEAWarning: true,
      }),
    );
    await promisify(execFile)(process.execPath, ['--build-sea', config], { timeout: 300_000 });
    await chmod(commandProgram, 0o755);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  await mkdir(join(root, 'dist'), { recursive: true });
  await buildCommand();
  const made = [commandFile];
  if (process.platform === 'linux' && process.arch === 'x64') {
    await buildProgram();
    made.push(commandProgram);
  }
  for (const file of made)
    console.log(`${relative(root, file)}: ${((await stat(file)).size / 2 ** 20).toFixed(1)} MiB`);
}
