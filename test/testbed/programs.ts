/**
 * The programs of a testbed, built once from their Go modules into a cache keyed by their sources. `HAWSER_PROGRAMS` or
 * `KUBEBUILDER_ASSETS` names a directory with prebuilt ones, which are used unchanged.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { progressText } from './build-progress.ts';
import { withLock } from './lock.ts';
import { run } from './run.ts';

export const kubernetesVersion = 'v1.34.4';

interface Manifest {
  /** Directory under `programs/`. */
  name: string;
  linkerFlags: string;
}

const kubernetesFlags = [
  `-X k8s.io/component-base/version.gitVersion=${kubernetesVersion}`,
  '-X k8s.io/component-base/version.gitMajor=1',
  '-X k8s.io/component-base/version.gitMinor=34',
].join(' ');

const manifests = {
  kubernetes: { name: 'kubernetes', linkerFlags: `-s -w ${kubernetesFlags}` },
  helm: { name: 'helm', linkerFlags: '-s -w' },
  coredns: { name: 'coredns', linkerFlags: '-s -w' },
  kubeRouter: { name: 'kube-router', linkerFlags: '-s -w' },
  wireguardGo: { name: 'wireguard-go', linkerFlags: '-s -w' },
} satisfies Record<string, Manifest>;

interface Recipe {
  manifest: Manifest;
  package: string;
  /** Duration of a cold build on two cores, shown to the user. */
  expectedSeconds: number;
}

const recipes = {
  'kube-apiserver': {
    manifest: manifests.kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-apiserver',
    expectedSeconds: 300,
  },
  etcd: { manifest: manifests.kubernetes, package: 'go.etcd.io/etcd/server/v3', expectedSeconds: 27 },
  kubectl: { manifest: manifests.kubernetes, package: 'k8s.io/kubernetes/cmd/kubectl', expectedSeconds: 26 },
  'kube-controller-manager': {
    manifest: manifests.kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-controller-manager',
    expectedSeconds: 74,
  },
  'kube-scheduler': {
    manifest: manifests.kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-scheduler',
    expectedSeconds: 6,
  },
  kubelet: { manifest: manifests.kubernetes, package: 'k8s.io/kubernetes/cmd/kubelet', expectedSeconds: 19 },
  'kube-proxy': {
    manifest: manifests.kubernetes,
    package: 'k8s.io/kubernetes/cmd/kube-proxy',
    expectedSeconds: 8,
  },
  agnhost: {
    manifest: manifests.kubernetes,
    package: 'k8s.io/kubernetes/test/images/agnhost',
    expectedSeconds: 7,
  },
  coredns: { manifest: manifests.coredns, package: '.', expectedSeconds: 20 },
  helm: { manifest: manifests.helm, package: 'helm.sh/helm/v3/cmd/helm', expectedSeconds: 15 },
  'kube-router': {
    manifest: manifests.kubeRouter,
    package: 'github.com/cloudnativelabs/kube-router/v2/cmd/kube-router',
    expectedSeconds: 150,
  },
  'wireguard-go': {
    manifest: manifests.wireguardGo,
    package: 'golang.zx2c4.com/wireguard',
    expectedSeconds: 27,
  },
} satisfies Record<string, Recipe>;

export type ProgramName = keyof typeof recipes;
export const programNames = Object.keys(recipes) as ProgramName[];
/** The programs of a control plane. */
export const controlPlanePrograms: readonly ProgramName[] = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kubectl',
];

export type Log = (line: string) => void;

export interface EnsureOptions {
  /** Default: all of them. */
  only?: readonly ProgramName[];
  signal?: AbortSignal | undefined;
  /** Called with a line for each built program. */
  log?: Log | undefined;
  /** Called every second with a progress line, which replaces the one before it. */
  progress?: Log | undefined;
}

/** This user's cache directory: `HAWSER_CACHE`, or `hawser` under `XDG_CACHE_HOME` or `~/.cache`. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment['HAWSER_CACHE']) return join(environment['HAWSER_CACHE'], 'hawser');
  return join(environment['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'hawser');
}

/** Builds missing programs, and returns the path of each. */
export async function ensurePrograms(options: EnsureOptions = {}): Promise<Record<ProgramName, string>> {
  const wanted = options.only ?? programNames;
  const paths: Partial<Record<ProgramName, string>> = {};
  const missing: { name: ProgramName; path: string }[] = [];
  const keys = new Map<string, string>();
  for (const name of wanted) {
    const given = givenProgram(name);
    if (given !== undefined) {
      paths[name] = given;
      continue;
    }
    const manifest = recipes[name].manifest;
    let key = keys.get(manifest.name);
    if (key === undefined) {
      key = await manifestKey(manifest);
      keys.set(manifest.name, key);
    }
    const path = join(cacheDirectory(), 'programs', `${manifest.name}-${key}`, name);
    paths[name] = path;
    if (!existsSync(path)) missing.push({ name, path });
  }
  if (missing.length > 0) await buildAll(missing, options);
  return paths as Record<ProgramName, string>;
}

function givenProgram(name: ProgramName): string | undefined {
  for (const variable of ['HAWSER_PROGRAMS', 'KUBEBUILDER_ASSETS']) {
    const directory = process.env[variable];
    if (directory && existsSync(join(directory, name))) return join(directory, name);
  }
  return undefined;
}

async function manifestKey(manifest: Manifest): Promise<string> {
  const directory = manifestDirectory(manifest);
  const hash = createHash('sha256').update(manifest.linkerFlags);
  // Including a main.go where the program's original has too many dependencies.
  for (const file of (await readdir(directory)).toSorted())
    hash.update(await readFile(join(directory, file)));
  return hash.digest('hex').slice(0, 16);
}

function manifestDirectory(manifest: Manifest): string {
  return join(import.meta.dirname, 'programs', manifest.name);
}

async function buildAll(
  missing: readonly { name: ProgramName; path: string }[],
  options: EnsureOptions,
): Promise<void> {
  const log = options.log ?? (() => undefined);
  const lock = join(cacheDirectory(), 'programs', 'build.lock');
  await withLock(
    lock,
    {
      signal: options.signal,
      timeoutMilliseconds: 40 * 60_000,
      onWait: (pid) => log(`Process ${pid} is building the programs; waiting for it`),
    },
    async () => {
      const left = missing.filter(({ path }) => !existsSync(path));
      if (left.length === 0) return;
      const expectedSeconds = left.map(({ name }) => recipes[name].expectedSeconds);
      const minutes = Math.ceil(expectedSeconds.reduce((sum, each) => sum + each, 0) / 60);
      log(`Building ${left.length} programs from their Go modules, once: about ${minutes} minutes`);
      const begun = performance.now();
      for (const [done, { name, path }] of left.entries()) {
        const start = performance.now();
        const state = (count: number) => ({
          expectedSeconds,
          done: count,
          doneSeconds: ((count > done ? performance.now() : start) - begun) / 1000,
          currentSeconds: count > done ? 0 : (performance.now() - start) / 1000,
        });
        const timer = setInterval(() => options.progress?.(`${name}: ${progressText(state(done))}`), 1000);
        try {
          await build(recipes[name], path, options.signal);
        } finally {
          clearInterval(timer);
        }
        log(
          `  ${name} built in ${((performance.now() - start) / 1000).toFixed(0)} s: ${progressText(state(done + 1))}`,
        );
      }
    },
  );
}

async function build(recipe: Recipe, path: string, signal: AbortSignal | undefined): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  const unfinished = `${path}.unfinished`;
  try {
    await run(
      [
        'go',
        'build',
        '-mod=readonly',
        '-trimpath',
        '-ldflags',
        recipe.manifest.linkerFlags,
        '-o',
        unfinished,
        recipe.package,
      ],
      {
        cwd: manifestDirectory(recipe.manifest),
        env: { CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' },
        timeoutMilliseconds: 30 * 60_000,
        ...(signal && { signal }),
      },
    );
    await rename(unfinished, path);
  } catch (error) {
    const hint =
      'Go 1.26 or newer must be in PATH; ready programs can be given with HAWSER_PROGRAMS=directory';
    throw new Error(`cannot build ${recipe.package}: ${(error as Error).message}. ${hint}`, { cause: error });
  } finally {
    await rm(unfinished, { force: true });
  }
}
