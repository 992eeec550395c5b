/** The sections of `npm test` in the order of their run: fast and informative ones first. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import type { Purpose } from '../../deploy/needs/needs.ts';
import { findTestFiles } from './find.ts';
import { runFiles } from './files.ts';
import { duration, type Totals } from './report.ts';

export const root = join(import.meta.dirname, '..', '..');

export interface SectionContext {
  signal: AbortSignal;
  /** The purposes of all sections of this run: see `deploy/needs/needs.ts`. */
  purposes: readonly Purpose[];
  log: (line: string) => void;
}

export interface Section {
  /** Selects it: `npm test -- NAME`. */
  name: string;
  what: string;
  /** Purposes that need more than npm installs: they are ensured before the first section. */
  purposes?: readonly Purpose[];
  /** Sections that it depends on: they run too when it is selected. */
  after?: readonly string[];
  run: (context: SectionContext) => Promise<Totals>;
}

/** Folders whose tests need no real clusters; their imports show which need an API server. */
const rooms = ['shared', 'gateway', 'daemon', 'cli', 'deploy', 'runner', 'testbed/unit', 'attack'].map(
  (room) => `test/${room}`,
);

export const sections: Section[] = [
  {
    name: 'packages',
    what: 'what the tests need of this machine is there',
    run: async ({ purposes, signal, log }) => {
      await ensureNeeds(purposes, { signal, log: (line) => log(`  ${line}`) });
      return { passed: 1, failed: 0, skipped: 0 };
    },
  },
  command('types', 'types', ['node', 'node_modules/typescript/bin/tsc', '--noEmit'], 300),
  command(
    'lint',
    'lint, with the arrows between the rooms',
    ['node', 'node_modules/oxlint/bin/oxlint', '--type-aware', '--deny-warnings'],
    300,
  ),
  command(
    'format',
    'formatting',
    ['node', 'node_modules/prettier/bin/prettier.cjs', '--check', '--log-level=warn', '.'],
    300,
  ),
  {
    ...command('native-build', 'the native addon builds', ['node', 'deploy/build/addon.ts'], 900),
    purposes: ['engine'],
  },
  files('unit', 'unit tests of every room', {
    paths: rooms,
    need: 'nothing',
    jobs: 2,
    seconds: 120,
    after: ['native-build'],
    purposes: ['network'],
  }),
  {
    name: 'programs',
    what: 'Kubernetes and the other programs of the bed are built',
    purposes: ['programs'],
    run: ensureBuilt,
  },
  files('native', 'the packet engine, with sanitizers', {
    paths: ['test/native'],
    jobs: 1,
    seconds: 900,
    after: ['native-build'],
    purposes: ['network'],
  }),
  files('fuzz', 'what takes foreign bytes, for a minute each', {
    paths: ['test/fuzz'],
    jobs: 1,
    seconds: 1500,
    after: ['native-build'],
    purposes: ['fuzz'],
  }),
  files('api', 'what meets a real API server, the gateway on both runtimes included', {
    paths: rooms,
    need: 'testbed',
    jobs: 2,
    seconds: 300,
    after: ['native-build', 'programs'],
    purposes: ['network'],
  }),
  files('image', 'the container image and the command, as users get them', {
    paths: ['test/image'],
    jobs: 1,
    seconds: 300,
    after: ['native-build'],
    purposes: ['image'],
  }),
  files('interop', 'the tunnel with other people’s WireGuard', {
    paths: ['test/interop'],
    jobs: 1,
    seconds: 1200,
    after: ['native-build', 'programs'],
    purposes: ['interop'],
  }),
  files('e2e', 'real clusters on the bed', {
    paths: ['test/e2e'],
    jobs: 1,
    seconds: 1200,
    live: true,
    after: ['native-build', 'programs'],
    purposes: ['clusters'],
  }),
  files('bare', 'the README’s two commands, on a bare Debian', {
    paths: ['test/bare'],
    jobs: 1,
    seconds: 1500,
    after: ['programs'],
    purposes: ['bare'],
  }),
];

/** The sections of these names, or all if no name is given, with their dependencies, in order. */
export function chosenSections(names: readonly string[]): Section[] {
  if (names.length === 0) return sections;
  const chosen = new Set(names);
  // Iterating a set includes elements that are added meanwhile.
  for (const name of chosen) {
    const section = sections.find((each) => each.name === name);
    for (const other of section?.after ?? []) chosen.add(other);
    if (section?.purposes !== undefined) chosen.add('packages');
  }
  return sections.filter(({ name }) => chosen.has(name));
}

interface FileSection {
  paths: string[];
  need?: 'nothing' | 'testbed';
  jobs: number;
  seconds: number;
  live?: boolean;
  after: readonly string[];
  purposes: readonly Purpose[];
}

function files(name: string, what: string, section: FileSection): Section {
  return {
    name,
    what,
    after: section.after,
    purposes: section.purposes,
    run: async ({ signal, log }) => {
      const all = await findTestFiles(section.paths.map((path) => join(root, path)));
      const chosen = all.filter(({ need }) => section.need === undefined || need === section.need);
      if (chosen.length === 0) throw new Error(`there is no test in ${section.paths.join(', ')}`);
      return runFiles({
        files: chosen,
        jobs: section.jobs,
        secondsPerFile: section.seconds,
        signal,
        log,
        ...(section.live && { live: true }),
      });
    },
  };
}

/** A section that consists of one command counts as one test. */
function command(name: string, what: string, argv: string[], seconds: number): Section {
  return {
    name,
    what,
    run: async ({ signal, log }) => {
      const begun = performance.now();
      const { exitCode, output } = await runCommand(argv, seconds, signal);
      const failed = exitCode === 0 ? 0 : 1;
      if (failed) for (const line of output.trimEnd().split('\n')) log(`       ${line}`);
      log(`  ${failed ? 'FAIL' : 'ok  '} ${argv.join(' ')} (${duration(performance.now() - begun)})`);
      return { passed: 1 - failed, failed, skipped: 0 };
    },
  };
}

function runCommand(
  argv: string[],
  seconds: number,
  signal: AbortSignal,
): Promise<{ exitCode: number | null; output: string }> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    let output = '';
    const child = spawn(program === 'node' ? process.execPath : program, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: seconds * 1000,
      killSignal: 'SIGKILL',
      signal,
      env: { ...process.env, ...(process.stdout.isTTY ? {} : { NO_COLOR: '1' }) },
    });
    const keep = (text: string) => {
      if (output.length < 200_000) output += text;
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.once('error', (error) =>
      reject(new Error(`cannot run ${program}: ${error.message}`, { cause: error })),
    );
    child.once('close', (exitCode) => {
      if (exitCode === null) output += `\nended after ${seconds} s`;
      resolve({ exitCode, output });
    });
  });
}

async function ensureBuilt({ signal, log }: SectionContext): Promise<Totals> {
  const { ensurePrograms } = await import('../testbed/programs.ts');
  await ensurePrograms({ signal, log: (line) => log(`  ${line}`) });
  return { passed: 1, failed: 0, skipped: 0 };
}
