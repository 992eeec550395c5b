/**
 * Runs test files: `node test/runner/files.ts [--serial] [--only=nothing|testbed] [--seconds=N] PATH…`. Each file has its own
 * process and deadline. Exit code 0 only if every test of every file passed.
 */
import { parseArgs } from 'node:util';
import { findTestFiles, type Need, type TestFile } from './find.ts';
import { duration, sum, totalsLine, type FileResult, type Totals } from './report.ts';
import { runFile } from './run-file.ts';

export interface RunFilesOptions {
  files: readonly TestFile[];
  /** How many files run at once. */
  jobs: number;
  secondsPerFile: number;
  signal?: AbortSignal | undefined;
  log: (line: string) => void;
  /** Shows a file's output while it runs, for files that take minutes. */
  live?: boolean;
}

/** Runs the files and prints one line per file, and the complete output of failed ones. */
export async function runFiles(options: RunFilesOptions): Promise<Totals> {
  const results: FileResult[] = [];
  const waiting = [...options.files];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (options.signal?.aborted) return;
      const { file, singledOut } = next;
      const result = await runFile(file, {
        deadlineMilliseconds: options.secondsPerFile * 1000,
        signal: options.signal,
        ...(options.live && { onLine: (line: string) => options.log(`      ${line}`) }),
      });
      if (singledOut) {
        result.complaints.push('a test is singled out with .only, which hides the others');
        result.failed ||= 1;
      }
      results.push(result);
      for (const line of describe(result, options.live === true)) options.log(line);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, options.jobs) }, worker));
  const unstarted = options.files.length - results.length;
  const totals = sum(results);
  if (unstarted > 0) options.log(`  ${unstarted} files were not begun`);
  return { ...totals, failed: totals.failed + unstarted };
}

function describe(result: FileResult, live: boolean): string[] {
  const mark = result.failed > 0 ? 'FAIL' : 'ok  ';
  const lines = [`  ${mark} ${result.file}: ${totalsLine(result)} (${duration(result.milliseconds)})`];
  if (result.failed > 0) {
    for (const complaint of result.complaints) lines.push(`       ${complaint}`);
    if (!live) lines.push(...result.output.split('\n').map((line) => `       ${line}`));
  }
  return lines;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      serial: { type: 'boolean', default: false },
      only: { type: 'string' },
      seconds: { type: 'string', default: '120' },
      live: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const begun = performance.now();
  const all = await findTestFiles(positionals);
  const files = all.filter(({ need }) => values.only === undefined || need === (values.only as Need));
  if (all.length > files.length) {
    console.log(
      `  ${all.length - files.length} of ${all.length} files need more than these do; npm test runs them`,
    );
  }
  const totals = await runFiles({
    files,
    jobs: values.serial ? 1 : 2,
    secondsPerFile: Number(values.seconds),
    live: values.live,
    log: console.log,
  });
  console.log(`  ${duration(performance.now() - begun)}`);
  console.log(totalsLine(totals));
  if (totals.failed > 0 || totals.passed === 0) process.exitCode = 1;
}

if (import.meta.main) await main();
