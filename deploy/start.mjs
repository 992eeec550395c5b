#!/usr/bin/env node
/**
 * Starts every entry point of this project: `node deploy/start.mjs ENTRY ARGUMENTS…`.
 *
 * The sources are TypeScript, which Node runs from version 24 on, and Node itself is one of the npm packages. So this file is
 * plain JavaScript for any Node from 18 on: it installs the npm packages if they are missing or out of date, and then runs
 * ENTRY with the Node among them. Signals and the exit code are passed through.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const installMilliseconds = 15 * 60_000;
/** The oldest Node that runs the sources, used if npm's package of Node does not support this machine. */
const oldestNode = 24;

/** Whether node_modules matches the lock file. Packages for other platforms may be missing. */
function isInstalled() {
  const wanted = lockedPackages('package-lock.json');
  const present = lockedPackages('node_modules/.package-lock.json');
  return (
    wanted !== undefined &&
    present !== undefined &&
    Object.entries(wanted).every(([path, entry]) => {
      const found = present[path];
      if (path === '') return true;
      return found === undefined
        ? entry.optional === true || entry.peer === true
        : found.version === entry.version && (existsSync(join(root, path)) || entry.optional === true);
    })
  );
}

function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Libraries that npm's Node needs and that a bare machine may lack: file, Debian's package, Fedora's. */
const libraries = [
  ['libatomic.so.1', 'libatomic1', 'libatomic'],
  ['libstdc++.so.6', 'libstdc++6', 'libstdc++'],
];

/**
 * Installs missing libraries on Debian as root, and otherwise prints what to install, since install scripts of npm packages run
 * Node.
 */
function ensureLibraries() {
  if (process.platform !== 'linux') return;
  const machine = { x64: 'x86_64', arm64: 'aarch64' }[process.arch] ?? process.arch;
  const folders = [
    `/usr/lib/${machine}-linux-gnu`,
    '/usr/lib64',
    '/usr/lib',
    '/usr/local/lib',
    '/usr/local/lib64',
  ];
  const missing = libraries.filter(([file]) => !folders.some((folder) => existsSync(join(folder, file))));
  if (missing.length === 0) return;
  const debian = missing.map(([, name]) => name);
  if (process.getuid() === 0 && existsSync('/usr/bin/apt-get')) {
    process.stderr.write(`Installing Debian packages that Node needs: ${debian.join(' ')}\n`);
    const apt = ['-q', '-o', 'DPkg::Lock::Timeout=300'];
    for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...debian]]) {
      const { status, stdout, stderr } = spawnSync('apt-get', [...apt, ...args], {
        encoding: 'utf8',
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
        timeout: installMilliseconds,
      });
      if (status !== 0) fail(`apt-get ${args.join(' ')} failed: ${`${stdout}${stderr}`.trim()}`);
    }
    return;
  }
  const files = missing.map(([file]) => file).join(', ');
  const fedora = missing.map(([, , name]) => name).join(' ');
  fail(
    `This machine lacks ${files}, which Node needs; install as root (on Debian: apt-get install ${debian.join(' ')}; on Fedora: dnf install ${fedora})`,
  );
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function install() {
  ensureLibraries();
  process.stderr.write('Installing the npm packages of package-lock.json into node_modules, half a minute\n');
  // npm sets this variable to its own path; other package managers set it to theirs.
  const own = process.env['npm_execpath'] ?? '';
  const npm = basename(own) === 'npm-cli.js' ? [process.execPath, own] : ['npm'];
  // Not `npm ci`: it refuses a lock file without packages of other platforms, which not every registry mirror serves.
  const options = ['--no-audit', '--no-fund', '--no-save', '--include=dev', '--include=optional'];
  const [program, ...args] = [...npm, 'install', ...options];
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: installMilliseconds,
  });
  if (status === 0) return;
  const why = error === undefined ? `${stdout}${stderr}`.trim() : error.message;
  fail(`npm install failed, so that nothing can be run: ${why}`);
}

/** The Node that runs the sources. */
function nodeProgram() {
  const own = join(root, 'node_modules', 'node', 'bin', 'node');
  if (existsSync(own)) return own;
  if (Number.parseInt(process.versions.node, 10) >= oldestNode) return process.execPath;
  process.stderr.write(
    `npm's package "node" holds no program for ${process.platform} on ${process.arch}, and this Node is ${process.version}: install Node ${oldestNode} or newer\n`,
  );
  return process.exit(1);
}

/** Runs a source of this project with arguments; signals and the exit code are passed through. */
export function start(entry, args) {
  if (!isInstalled()) install();
  const child = spawn(nodeProgram(), [join(root, entry), ...args], {
    stdio: 'inherit',
    env: {
      ...process.env,
      PATH: [join(root, 'node_modules', '.bin'), process.env['PATH'] ?? ''].join(delimiter),
    },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal sends the signal to every process in it; do not forward it to the child a second time.
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    });
  }
  child.once('error', (error) => {
    process.stderr.write(`cannot run ${entry}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.once('exit', (code, signal) => {
    // Like a shell; ending with the same signal would make npm print its own error.
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}

// Started directly, not imported by the launcher of the command.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [entry, ...args] = process.argv.slice(2);
  if (entry === undefined) {
    process.stderr.write('usage: node deploy/start.mjs ENTRY ARGUMENTS…\n');
    process.exitCode = 2;
  } else start(entry, args);
}
