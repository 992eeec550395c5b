/**
 * A bare Debian, and a clone of the project in it: only Debian's required packages, with this machine's Node, npm and Go. It
 * exposes dependencies that an install step forgot, which other machines may have.
 *
 * Everything runs in separate process and mount namespaces, and ends with the process that started it, for any reason. The
 * network is the machine's, since packages come from there; so are its caches of packages and built programs, for speed.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  realpath,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { machineProgram } from '../support/machine-program.ts';
import { cacheDirectory } from '../testbed/programs.ts';
import { run } from '../testbed/run.ts';

const project = join(import.meta.dirname, '..', '..');
const marker = /^root-(\d+)-/;

/** The machine's configuration of package managers: mirrors, proxies, certificates. */
const settings = [
  '/etc/apt',
  '/etc/ssl',
  '/etc/resolv.conf',
  '/etc/hosts',
  '/etc/npmrc',
  '/usr/local/share/ca-certificates',
  '/usr/share/keyrings',
];
const ownSettings = ['.npmrc', '.config/go'];

export interface BareRun {
  exitCode: number | null;
  /** Both outputs, in order. */
  output: string;
  seconds: number;
}

export interface BareRoot {
  /** Runs a shell command in the clone. It is ended at the deadline. */
  run(command: string, options: { seconds: number; signal?: AbortSignal }): Promise<BareRun>;
  /** Changes in the clone according to git: none if everything is correct. */
  changed(): Promise<string>;
  remove(): Promise<void>;
}

function directoryOfAll(): string {
  return join(cacheDirectory(), 'bare');
}

/** Creates a root, from the cached archive if there is one. Roots of ended processes are removed first. */
export async function makeBareRoot(log: (line: string) => void): Promise<BareRoot> {
  const all = directoryOfAll();
  await mkdir(all, { recursive: true });
  for (const name of await readdir(all)) {
    const pid = marker.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await remove(join(all, name));
  }
  const archive = await debianArchive(all, log);
  const root = await mkdtemp(join(all, `root-${process.pid}-`));
  const clone = join(root, 'project', 'hawser');
  try {
    await run(['tar', '-C', root, '--exclude=./dev/*', '-xf', archive], { timeoutMilliseconds: 120_000 });
    await putTools(root);
    // A clone of the committed state, as a user would have it.
    await run(['git', 'clone', '-q', project, clone], {
      timeoutMilliseconds: 60_000,
    });
  } catch (error) {
    await remove(root);
    throw error;
  }
  return {
    run: (command, options) => runIn(root, command, options),
    changed: () => run(['git', '-C', clone, 'status', '--porcelain']),
    remove: () => remove(root),
  };
}

/** Debian's required packages, like its own container images, in an archive that is created once per release. */
async function debianArchive(directory: string, log: (line: string) => void): Promise<string> {
  const release = /^VERSION_CODENAME=(\w+)/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1] ?? 'stable';
  const archive = join(directory, `${release}-minbase.tar`);
  if (existsSync(archive)) return archive;
  log(`Making a bare Debian ${release}, once: a minute or two`);
  const unfinished = join(directory, `${process.pid}.unfinished.tar`);
  try {
    const packages = ['--variant=minbase', '--include=ca-certificates'];
    await run(['mmdebstrap', ...packages, release, unfinished], { timeoutMilliseconds: 10 * 60_000 });
    await rename(unfinished, archive);
  } finally {
    await rm(unfinished, { force: true });
  }
  return archive;
}

/** Folders of this machine that are mounted in the root, each with its target. */
async function mounts(): Promise<[from: string, to: string][]> {
  const goRoot = (await run(['go', 'env', 'GOROOT'])).trim();
  const goModules = (await run(['go', 'env', 'GOMODCACHE'])).trim();
  const npm = dirname(dirname(await machineProgram('npm')));
  const own: [string, string][] = [
    [join(homedir(), '.cache'), '/root/.cache'],
    [join(homedir(), '.npm'), '/root/.npm'],
    [goModules, '/root/go/pkg/mod'],
    [goRoot, '/usr/local/go'],
    [npm, '/usr/local/lib/node_modules/npm'],
    [join(directoryOfAll(), 'archives'), '/var/cache/apt/archives'],
  ];
  await mkdir(join(directoryOfAll(), 'archives', 'partial'), { recursive: true });
  return own.filter(([from]) => existsSync(from));
}

async function putTools(root: string): Promise<void> {
  for (const path of settings) {
    if (!existsSync(path)) continue;
    await rm(join(root, path), { recursive: true, force: true });
    await cp(await realpath(path), join(root, path), { recursive: true, verbatimSymlinks: true });
  }
  for (const path of ownSettings) {
    const from = join(homedir(), path);
    if (existsSync(from)) await cp(from, join(root, 'root', path), { recursive: true });
  }
  const bin = join(root, 'usr', 'local', 'bin');
  await mkdir(bin, { recursive: true });
  await copyFile(await machineProgram('node'), join(bin, 'node'));
  for (const name of ['npm', 'npx']) {
    await writeFile(
      join(bin, name),
      `#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/${name}-cli.js "$@"\n`,
      { mode: 0o755 },
    );
  }
  // Some kernels occasionally refuse to keep a mount namespace that is created inside another one: retry.
  const again = join(root, 'usr', 'local', 'sbin', 'unshare');
  await mkdir(dirname(again), { recursive: true });
  await writeFile(
    again,
    `#!/bin/bash
said=$(mktemp)
for _ in $(seq 200); do
  /usr/bin/unshare "$@" 2>"$said"; code=$?
  [ $code != 0 ] && grep -q 'ns/mnt .*Invalid argument' "$said" || break
done
cat "$said" >&2; rm -f "$said"; exit $code
`,
  );
  await chmod(again, 0o755);
}

/** Run as the first process of its namespace: it reaps orphans, and everything ends with it. */
function script(root: string, folders: readonly [from: string, to: string][]): string {
  return [
    'set -eu',
    `mount --bind ${root} ${root}`,
    `mkdir -p ${root}/old ${root}/proc ${root}/sys ${root}/dev ${root}/run ${root}/tmp`,
    `mount -t proc proc ${root}/proc`,
    ...['sys', 'dev'].map((name) => `mount --rbind /${name} ${root}/${name}`),
    ...['run', 'tmp'].map((name) => `mount -t tmpfs tmpfs ${root}/${name}`),
    ...folders.map(([from, to]) => `mkdir -p ${root}${to}; mount --bind ${from} ${root}${to}`),
    `cd ${root}; pivot_root . old; umount -l /old`,
    'cd /project/hawser',
    'export HOME=/root LANG=C.UTF-8 TERM=dumb CI=true NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt',
    'export PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'bash -c "$COMMAND" & wait $!',
  ].join('\n');
}

async function runIn(
  root: string,
  command: string,
  { seconds, signal }: { seconds: number; signal?: AbortSignal },
): Promise<BareRun> {
  const begun = performance.now();
  const text = script(root, await mounts());
  return await new Promise((resolve, reject) => {
    const place = ['unshare', '--mount', '--propagation=private', '--pid', '--fork', '--kill-child'];
    // It ends when this process does, and all its children end with it.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...place, 'bash', '-c', text], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', COMMAND: command },
      timeout: seconds * 1000,
      killSignal: 'SIGKILL',
      ...(signal && { signal }),
    });
    let output = '';
    const keep = (part: string) => {
      if (output.length < 2 ** 22) output += part;
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.once('error', reject);
    child.once('close', (exitCode) =>
      resolve({ exitCode, output, seconds: (performance.now() - begun) / 1000 }),
    );
  });
}

/** Removes a root, and the cgroups of its clusters, which outlive the processes. */
async function remove(root: string): Promise<void> {
  await run(['rm', '-rf', '--one-file-system', root], { timeoutMilliseconds: 300_000 });
  await run([
    'sh',
    '-c',
    'find /sys/fs/cgroup -depth -type d -path "*/hawser-testbed/bare*" -exec rmdir {} + 2>/dev/null || :',
  ]);
}
