/**
 * Fuzzing: `npm run fuzz -- --minutes N [NAME …]` builds the libFuzzer harnesses of `test/fuzz/native` and runs each for
 * its share of the time on a copy of its corpus. `--keep` brings back into the corpus what reached something new.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build, fuzzVariant } from '../../native/build.ts';

const directory = fileURLToPath(new URL('native/', import.meta.url));

export interface FuzzResult {
  name: string;
  /** Nothing was found. */
  clean: boolean;
  executions: number;
  /** Edges of the code that were reached. */
  coverage: number;
  output: string;
}

export const harnesses: readonly string[] = readdirSync(directory)
  .filter((name) => name.endsWith('_fuzz.cc'))
  .map((name) => name.replace('_fuzz.cc', ''))
  .toSorted();

export interface FuzzOptions {
  seconds: number;
  /** A planted bug to wake, see native/src/plant.h. */
  plantedBug?: number;
  /** Adds what reached something new to the corpus. */
  keep?: boolean;
}

/** Builds and runs one harness; rejects when it can't be built. */
export async function fuzz(name: string, options: FuzzOptions): Promise<FuzzResult> {
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
      // The end matters: what was found, and the numbers.
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
