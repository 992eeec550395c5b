/** Ensures the machine's dependencies before a build: installs missing ones on Debian, and names them elsewhere. */
import { spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { missingSentence, needsOf, type Need, type Purpose } from './needs.ts';

const searchPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The source of facts about the machine: the machine itself, or a table in a test. */
export interface Machine {
  processor: string;
  environment: NodeJS.ProcessEnv;
  /** The first path that matches a path or pattern. */
  find(pattern: string): string | undefined;
  read(path: string): Buffer;
  /** The output of a program; undefined if it can't run. */
  ask(program: string, args: readonly string[]): Promise<string | undefined>;
}

const thisMachine: Machine = {
  processor: process.arch,
  environment: process.env,
  find: (pattern) =>
    pattern.includes('*') ? globSync(pattern)[0] : existsSync(pattern) ? pattern : undefined,
  read: (path) => readFileSync(path),
  ask: async (program, args) => {
    const { exitCode, output } = await run([program, ...args], 20_000);
    return exitCode === 0 ? output : undefined;
  },
};

export async function missingNeeds(
  purposes: readonly Purpose[],
  machine: Machine = thisMachine,
): Promise<Need[]> {
  const rows = needsOf(purposes, machine.processor);
  const present = await Promise.all(rows.map((need) => isPresent(need, machine)));
  return rows.filter((_, index) => !present[index]);
}

async function isPresent(need: Need, machine: Machine): Promise<boolean> {
  const program = (need.instead !== undefined && machine.environment[need.instead]) || need.file;
  const inPath = (machine.environment['PATH'] ?? '').split(':').filter((directory) => directory !== '');
  const path = program.startsWith('/')
    ? machine.find(program)
    : [...inPath, ...searchPath]
        .map((directory) => machine.find(join(directory, program)))
        .find((found) => found !== undefined);
  if (path === undefined) return false;
  if (need.linkedStatically && !isStatic(machine.read(path))) return false;
  if (need.version === undefined) return true;
  const said = await machine.ask(path, need.version.args);
  if (said === undefined) return false;
  const { atLeast, orSaying } = need.version;
  if (isRecent(said, atLeast)) return true;
  return orSaying !== undefined && said.includes(orSaying[2]) && isRecent(said, [orSaying[0], orSaying[1]]);
}

/** Whether the first version number in a program's output is recent enough. */
export function isRecent(said: string, [major, minor]: readonly [number, number]): boolean {
  const found = /(\d+)(?:\.(\d+))?/.exec(said);
  if (found === null) return false;
  const [ownMajor, ownMinor] = [Number(found[1]), Number(found[2] ?? 0)];
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/**
 * Whether a Linux program is statically linked: others name their interpreter in the first page. Debian's package busybox
 * contains a dynamically linked one, and the testbed's images have no libraries.
 */
export function isStatic(program: Buffer): boolean {
  return !program.subarray(0, 4096).includes('/ld-');
}

export interface EnsureOptions {
  signal?: AbortSignal | undefined;
  /** Called with a line for each installation. Default: standard error. */
  log?: ((line: string) => void) | undefined;
}

/**
 * Resolves when all dependencies are present. On Debian as root it installs missing ones, and reports that; elsewhere, or if
 * Debian's version is too old, it throws one sentence that names everything.
 */
export async function ensureNeeds(purposes: readonly Purpose[], options: EnsureOptions = {}): Promise<void> {
  let missing = await missingNeeds(purposes);
  if (missing.length === 0) return;
  const packages = missing.flatMap(({ apt }) => apt ?? []);
  const isDebian = existsSync('/usr/bin/apt-get');
  if (packages.length > 0 && isDebian && process.getuid?.() === 0) {
    const log = options.log ?? ((line: string) => void process.stderr.write(`${line}\n`));
    log(`Installing Debian packages that are missing: ${packages.join(' ')}`);
    await installDebian(packages, options.signal);
    missing = await missingNeeds(purposes);
  }
  const required = missing.filter(({ optional }) => optional !== true);
  if (required.length > 0) throw new Error(missingSentence(required));
}

async function installDebian(packages: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  // Another apt-get may be running, as on machines with automatic updates.
  const apt = ['apt-get', '-q', '-o', 'DPkg::Lock::Timeout=300'];
  for (const command of [
    [...apt, 'update'],
    [...apt, 'install', '-y', '--no-install-recommends', ...packages],
  ]) {
    const { exitCode, output } = await run(command, 15 * 60_000, signal);
    if (exitCode !== 0) throw new Error(`${command.join(' ')} failed: ${output.trim().slice(-2000)}`);
  }
}

function run(
  [program = '', ...args]: readonly string[],
  timeoutMilliseconds: number,
  signal?: AbortSignal,
): Promise<{ exitCode: number | null; output: string }> {
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMilliseconds,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      ...(signal && { signal }),
    });
    const keep = (text: string) => {
      if (output.length < 2 ** 20) output += text;
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.once('error', (error) => resolve({ exitCode: null, output: `${output}${error.message}` }));
    child.once('close', (exitCode) => resolve({ exitCode, output }));
  });
}
