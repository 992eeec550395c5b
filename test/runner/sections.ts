/** What `npm test` consists of, in the order in which it runs: the quick and telling first. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findTestFiles } from './find.ts';
import { runFiles } from './files.ts';
import { duration, type Totals } from './report.ts';

export const root = join(import.meta.dirname, '..', '..');

export interface SectionContext {
  signal: AbortSignal;
  log: (line: string) => void;
}

export interface Section {
  /** Chooses it: `npm test -- NAME`. */
  name: string;
  what: string;
  run: (context: SectionContext) => Promise<Totals>;
}

/** Folders whose tests need no real clusters; what of them needs an API server is told by its imports. */
const rooms = ['shared', 'gateway', 'daemon', 'cli', 'deploy', 'runner', 'testbed/unit'].map(
  (room) => `test/${room}`,
);

export const sections: Section[] = [
  {
    name: 'packages',
    what: 'the npm and Debian packages that the tests need are there',
    run: ensureInstalled,
  },
  command('types', 'types', ['node_modules/.bin/tsc', '--noEmit'], 300),
  command('lint', 'lint, with the arrows between the rooms', ['npm', 'run', '--silent', 'lint'], 300),
  command('format', 'formatting', ['node_modules/.bin/prettier', '--check', '--log-level=warn', '.'], 300),
  command('native-build', 'the native addon builds', ['node', 'native/build.ts'], 900),
  files('unit', 'unit tests of every room', { paths: rooms, need: 'nothing', jobs: 2, seconds: 120 }),
  {
    name: 'programs',
    what: 'Kubernetes and the other programs of the bed are built',
    run: ensureBuilt,
  },
  files('native', 'the packet engine, with sanitizers', { paths: ['test/native'], jobs: 1, seconds: 900 }),
  files('fuzz', 'what takes foreign bytes, for a minute each', {
    paths: ['test/fuzz'],
    jobs: 1,
    seconds: 1500,
  }),
  files('api', 'what meets a real API server, the gateway on both runtimes included', {
    paths: rooms,
    need: 'testbed',
    jobs: 2,
    seconds: 300,
  }),
  files('image', 'the container image, whole', { paths: ['test/image'], jobs: 1, seconds: 300 }),
  files('interop', 'the tunnel with other people’s WireGuard', {
    paths: ['test/interop'],
    jobs: 1,
    seconds: 1200,
  }),
  files('e2e', 'real clusters on the bed', { paths: ['test/e2e'], jobs: 1, seconds: 1200, live: true }),
];

interface FileSection {
  paths: string[];
  need?: 'nothing' | 'testbed';
  jobs: number;
  seconds: number;
  live?: boolean;
}

function files(name: string, what: string, section: FileSection): Section {
  return {
    name,
    what,
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

/** A section that one command decides: it counts as one test. */
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

async function ensureInstalled({ signal, log }: SectionContext): Promise<Totals> {
  if (!existsSync(join(root, 'node_modules', 'typescript'))) {
    throw new Error('the npm packages are not installed: run npm install');
  }
  const { ensurePackages } = await import('../testbed/packages.ts');
  await ensurePackages({ fuzzing: true, signal, log: (line) => log(`  ${line}`) });
  return { passed: 1, failed: 0, skipped: 0 };
}

async function ensureBuilt({ signal, log }: SectionContext): Promise<Totals> {
  const { ensurePrograms } = await import('../testbed/programs.ts');
  await ensurePrograms({ signal, log: (line) => log(`  ${line}`) });
  return { passed: 1, failed: 0, skipped: 0 };
}
