/**
 * Runs one test file in this process: `node test/runner/one.ts FILE`. Reports the result to its parent, since uvu exits
 * successfully for a file that registered nothing or whose hook threw.
 */
import { registerHooks } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { FileReport } from './report.ts';

/** How long handles may stay open after the last test: longer than an orderly close takes. */
const graceMilliseconds = 5000;

type SuiteRun = () => Promise<[string | true, number, number, number]>;
const uvuGlobals = globalThis as { UVU_DEFER?: number; UVU_INDEX?: number; UVU_QUEUE?: SuiteRun[][] };

const standIn = new URL('uvu.ts', import.meta.url).href;
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'uvu' && context.parentURL !== standIn
      ? { url: standIn, shortCircuit: true, format: 'module-typescript' }
      : next(specifier, context),
});

function send(report: FileReport): void {
  if (process.send === undefined) console.log(JSON.stringify(report));
  else process.send(report);
}

async function main(file: string): Promise<void> {
  uvuGlobals.UVU_DEFER = 1;
  uvuGlobals.UVU_INDEX = 0;
  const suites: SuiteRun[] = [];
  uvuGlobals.UVU_QUEUE = [suites];
  const { observed } = await import('./uvu.ts');
  const progress = setInterval(() => send({ type: 'running', test: observed.running }), 1000);
  progress.unref();
  const report = { type: 'finished' as const, passed: 0, failed: 0, skipped: 0, complaints: [] as string[] };
  await import(pathToFileURL(resolve(file)).href);
  if (suites.length === 0)
    report.complaints.push('no suite was run: test.run() is missing, or there is no test');
  for (const run of suites) {
    const hookErrorsBefore = observed.hookErrors.length;
    const [errors, passed, skipped, total] = await run();
    report.passed += passed;
    report.failed += total - passed;
    report.skipped += skipped;
    if (errors !== true) console.log(`\n${errors}`);
    const hookErrors = observed.hookErrors.slice(hookErrorsBefore);
    report.complaints.push(...hookErrors);
    if (total === 0) report.complaints.push('a suite without a test was run');
    if (errors === true && passed < total && hookErrors.length === 0) {
      report.complaints.push(`${total - passed} tests did not run`);
    }
  }
  clearInterval(progress);
  send(report);
  setTimeout(() => {
    send({ type: 'left-open', resources: process.getActiveResourcesInfo() });
    setTimeout(() => process.exit(1), 100);
  }, graceMilliseconds).unref();
}

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error('usage: node test/runner/one.ts FILE');
  process.exitCode = 2;
} else await main(file);
