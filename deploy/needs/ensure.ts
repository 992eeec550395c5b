/** Makes sure, before anything is built, that the machine holds all that is needed: installs it on Debian, names it elsewhere. */
import { spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { missingSentence, needsOf, type Need, type Purpose } from './needs.ts';

const searchPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** How what is missing is found out: the machine, or a table in a test. */
export interface Machine {
  processor: string;
  environment: NodeJS.ProcessEnv;
  /** The first path that matches a path or pattern. */
  find(pattern: string): string | undefined;
  read(path: string): Buffer;
  /** What a program prints, or undefined when it can't be run. */
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

/** Whether the first number in what a program says of its version is recent enough. */
export function isRecent(said: string, [major, minor]: readonly [number, number]): boolean {
  const found = /(\d+)(?:\.(\d+))?/.exec(said);
  if (found === null) return false;
  const [ownMajor, ownMinor] = [Number(found[1]), Number(found[2] ?? 0)];
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/**
 * Whether a program of Linux asks for no interpreter, whose path is in the first page of those that do. Debian's package
 * busybox puts one there that needs libraries, and the bed's images hold none.
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
 * Resolves when everything is there. On Debian as root it installs what is missing, and says so; elsewhere, or for what
 * Debian has too old, it throws one sentence that names everything.
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
  // Another apt-get may be at work, as on machines that update themselves.
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
