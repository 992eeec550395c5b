/**
 * `npm test`: everything, from a clean clone. `npm test -- unit api` runs only these sections and those that they need, and
 * lists the omitted ones. Its last line is `N passed, N failed`; exit code 0 only if nothing failed.
 */
import { cpus } from 'node:os';
import type { Purpose } from '../../deploy/needs/needs.ts';
import { duration, sum, table, totalsLine, type SectionResult, type Totals } from './report.ts';
import { chosenSections, sections, type Section } from './sections.ts';

async function runSection(
  section: Section,
  purposes: readonly Purpose[],
  signal: AbortSignal,
): Promise<Totals> {
  const log = (line: string) => console.log(line);
  try {
    return await section.run({ purposes, signal, log });
  } catch (error) {
    // A section that cannot start has failed: it is never silently left out.
    log(`  FAIL ${(error as Error).message}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

/** Milliseconds of CPU time of the whole machine since its start. */
const busyMilliseconds = () =>
  cpus().reduce((all, { times }) => all + times.user + times.nice + times.sys + times.irq, 0);

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !sections.some((section) => section.name === name));
  if (unknown.length > 0) {
    console.error(
      `no such section: ${unknown.join(', ')}. There are: ${sections.map(({ name }) => name).join(', ')}`,
    );
    process.exitCode = 2;
    return;
  }
  const chosen = chosenSections(wanted);
  const purposes = [...new Set(chosen.flatMap((section) => section.purposes ?? []))];
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => controller.abort(new Error(`ended by ${signal}`)));
  }
  const begun = performance.now();
  const results: SectionResult[] = [];
  for (const section of chosen) {
    console.log(`\n${section.name}: ${section.what}`);
    const start = performance.now();
    const busyBefore = busyMilliseconds();
    const totals = controller.signal.aborted
      ? { passed: 0, failed: 1, skipped: 0 }
      : await runSection(section, purposes, controller.signal);
    const milliseconds = performance.now() - start;
    const busyCores = (busyMilliseconds() - busyBefore) / Math.max(milliseconds, 1);
    results.push({ name: section.name, totals, milliseconds, busyCores });
  }
  console.log('');
  for (const line of table(results)) console.log(line);
  const left = sections.filter((section) => !chosen.includes(section)).map(({ name }) => name);
  if (left.length > 0) console.log(`not run, since they were not asked for: ${left.join(', ')}`);
  console.log(`${duration(performance.now() - begun)} altogether`);
  const totals = sum(results.map((result) => result.totals));
  console.log(totalsLine(totals));
  process.exitCode = totals.failed === 0 && totals.passed > 0 ? 0 : 1;
}

await main();
