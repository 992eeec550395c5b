/**
 * Fuzzing: `npm run fuzz -- --minutes N [NAME …]` builds the libFuzzer harnesses of `test/fuzz/native` and runs each for its
 * share of the time on a copy of its corpus. `--keep` adds inputs with new coverage to the corpus. Parsers of foreign bytes in
 * TypeScript have their harnesses in `test/fuzz/script`, guided by V8's coverage.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import { build, fuzzVariant, releaseVariant } from '../../native/build.ts';
import type { RunnerReport } from './script/runner.ts';

const directory = fileURLToPath(new URL('native/', import.meta.url));
const scripts = fileURLToPath(new URL('script/', import.meta.url));

export interface FuzzResult {
  name: string;
  /** Whether the run found nothing. */
  clean: boolean;
  executions: number;
  /** Covered edges of the code, or blocks in TypeScript. */
  coverage: number;
  output: string;
}

function namesIn(folder: string, ending: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => name.slice(0, -ending.length))
    .toSorted();
}

export const nativeHarnesses: readonly string[] = namesIn(directory, '_fuzz.cc');
export const scriptHarnesses: readonly string[] = namesIn(scripts, '_fuzz.ts');
const harnesses: readonly string[] = [...nativeHarnesses, ...scriptHarnesses];

export interface FuzzOptions {
  seconds: number;
  /** A planted bug to enable, see native/src/plant.h and script/plant.ts. */
  plantedBug?: number;
  /** Adds inputs with new coverage to the corpus. */
  keep?: boolean;
}

/** Builds and runs one harness; rejects if the build fails. */
export async function fuzz(name: string, options: FuzzOptions): Promise<FuzzResult> {
  if (scriptHarnesses.includes(name)) return fuzzScript(name, options);
  const program = await build(fuzzVariant(`${name}_fuzz`, join(directory, `${name}_fuzz.cc`)));
  const corpus = join(directory, 'corpus', name);
  const work = mkdtempSync(join(tmpdir(), `hawser-fuzz-${name}-`));
  try {
    const seeds = join(work, 'corpus');
    mkdirSync(seeds);
    if (existsSync(corpus)) cpSync(corpus, seeds, { recursive: true });
    const limits = [
      '-max_len=4096',
      '-timeout=10',
      '-rss_limit_mb=2048',
      '-print_final_stats=1',
      '-verbosity=1',
    ];
    const { code, output } = await run(
      program,
      [...limits, `-max_total_time=${options.seconds}`, seeds],
      work,
      {
        ...process.env,
        HAWSER_PLANT_BUG: String(options.plantedBug ?? 0),
      },
    );
    if (options.keep === true && code === 0) {
      mkdirSync(corpus, { recursive: true });
      await run(program, ['-merge=1', '-max_len=4096', corpus, seeds], work, process.env);
    }
    return {
      name,
      clean: code === 0,
      executions: Number(/stat::number_of_executed_units:\s*(\d+)/.exec(output)?.[1] ?? 0),
      coverage: Math.max(0, ...[...output.matchAll(/cov: (\d+)/g)].map(([, edges]) => Number(edges))),
      output,
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function fuzzScript(name: string, options: FuzzOptions): Promise<FuzzResult> {
  // Another seed each time; it is printed with a finding.
  const seed = randomInt(2 ** 31);
  const parameters = [join(scripts, 'runner.ts'), name, String(options.seconds), String(seed)];
  const { code, output } = await run(process.execPath, parameters, scripts, {
    ...process.env,
    HAWSER_PLANT_BUG: String(options.plantedBug ?? 0),
  });
  const line = output.split('\n').find((text) => text.startsWith('{'));
  const report = line === undefined ? undefined : (JSON.parse(line) as RunnerReport);
  const { finding } = report ?? {};
  return {
    name,
    clean: code === 0 && report !== undefined,
    executions: report?.executions ?? 0,
    coverage: report?.coverage ?? 0,
    output: finding === undefined ? output : `${finding.error}\ninput ${finding.input}, seed ${seed}`,
  };
}

function run(
  program: string,
  parameters: readonly string[],
  directoryOfWork: string,
  environment: NodeJS.ProcessEnv,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, {
      cwd: directoryOfWork,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const take = (text: Buffer): void => {
      // The end matters: the finding, and the numbers.
      output = (output + text.toString()).slice(-65_536);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { minutes: { type: 'string', default: '1' }, keep: { type: 'boolean', default: false } },
  });
  const chosen = positionals.length > 0 ? positionals : harnesses;
  const minutes = Number(values.minutes);
  if (!(minutes > 0) || chosen.some((name) => !harnesses.includes(name))) {
    console.error(`usage: npm run fuzz -- --minutes N [--keep] [${harnesses.join(' | ')} …]`);
    process.exit(2);
  }
  await ensureNeeds(['fuzz']);
  // Some of the harnesses load it.
  await build(releaseVariant());
  let found = false;
  for (const name of chosen) {
    const result = await fuzz(name, { seconds: Math.ceil(minutes * 60), keep: values.keep });
    console.log(
      `${name}: ${result.clean ? 'clean' : 'FOUND'}, ${result.executions} executions, ${result.coverage} edges`,
    );
    if (!result.clean) console.log(result.output.slice(-6000));
    found ||= !result.clean;
  }
  process.exit(found ? 1 : 0);
}
