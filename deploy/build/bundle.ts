/**
 * Bundles all of Hawser's JavaScript, including packages, into a few files with shared chunks. A process loads only the parts
 * of each package that its role uses: sources and modules that were loaded but never run were a large part of the memory of a
 * cluster's four processes.
 */
import { readFile } from 'node:fs/promises';
import { dirname, posix, relative, sep } from 'node:path';
import { build, type Plugin } from 'esbuild';

export interface BundleOptions {
  /** Root of the sources. */
  root: string;
  outputDirectory: string;
}

/** Entry points that are started by their path: the command, and the tunnel's worker. */
const command = 'cli/main';
const worker = 'daemon/wireguard/worker';

/**
 * Folder of shared chunks. At the same depth as the command, so that the same relative path leads to the root from all of them.
 */
const shared = 'chunks';

/** Bundles. Returns the folders of the bundled packages, relative to the root, for their licences. */
export async function bundle({ root, outputDirectory }: BundleOptions): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [
      { in: `${command}.ts`, out: command },
      { in: `${worker}.ts`, out: `${shared}/worker` },
    ],
    outdir: outputDirectory,
    chunkNames: `${shared}/[name]-[hash]`,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Keep names: they appear in errors, logs and profiles.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
    // CommonJS packages require Node's own modules at run time.
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
    plugins: [sourcePlaces(root), addonBeside, lazyProtocols, englishOnly],
  });
  return packageFolders(Object.keys(metafile.inputs));
}

/** The file at the path where the tunnel looks for its worker; it imports the bundled one. */
export const workerFile = {
  path: `${worker}.js`,
  content: `import '${posix.relative(posix.dirname(worker), `${shared}/worker.js`)}';\n`,
};

/** Keeps the source paths of code that looks for files relative to itself. */
function sourcePlaces(root: string): Plugin {
  return {
    name: 'places of sources',
    setup: (bundler) =>
      bundler.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8');
        if (!text.includes('import.meta.url')) return undefined;
        const place = relative(root, path).split(sep).join('/').replace(/\.ts$/, '.js');
        const contents = text.replaceAll(
          'import.meta.url',
          `new URL(${JSON.stringify(`../${place}`)}, import.meta.url).href`,
        );
        return { contents, loader: 'ts' };
      }),
  };
}

/** The addon is found relative to its loader, which stays a separate file. */
const addonBeside: Plugin = {
  name: 'addon',
  setup: (bundler) =>
    bundler.onResolve({ filter: /native\/index\.js$/ }, () => ({
      path: '../native/index.js',
      external: true,
    })),
};

/**
 * Importing `node:http` as a module reads each of its properties, and one of them loads Node's fetch, 6 MB in each process, for
 * an unused WebSocket. Requiring it as an object avoids that.
 */
export const lazyProtocols: Plugin = {
  name: 'http without fetch',
  setup(bundler) {
    bundler.onResolve({ filter: /^(node:)?https?$/ }, ({ path }) => ({ path, namespace: 'protocol' }));
    bundler.onLoad({ filter: /.*/, namespace: 'protocol' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
      loader: 'js',
    }));
  },
};

/** Drops zod's messages in fifty other languages. */
export const englishOnly: Plugin = {
  name: 'zod in English',
  setup: (bundler) =>
    bundler.onLoad({ filter: /zod\/v4\/locales\/index\.js$/ }, ({ path }) => ({
      contents: 'export { default as en } from "./en.js";',
      resolveDir: dirname(path),
      loader: 'js',
    })),
};

function packageFolders(inputs: readonly string[]): string[] {
  const folders = inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
  return [...new Set(folders)].toSorted();
}
