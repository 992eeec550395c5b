/**
 * Fuzzes one harness of this folder: `node runner.ts NAME SECONDS SEED`. Inputs that reach a new block of code are kept, and
 * new inputs are derived from them. Prints its results as JSON; exits with 1 if it found something.
 */
import { fileURLToPath } from 'node:url';

import { Coverage } from './coverage.ts';
import type { Harness } from './harness.ts';
import { mutate } from './mutate.ts';
import { plant } from './plant.ts';

export interface RunnerReport {
  executions: number;
  coverage: number;
  corpus: number;
  finding?: { input: string; error: string };
}

const [name = '', seconds = '1', seed = '1'] = process.argv.slice(2);
// Before the changed module is loaded.
plant(Number(process.env['HAWSER_PLANT_BUG'] ?? 0));
const coverage = new Coverage('/daemon/wireguard/');
const file = fileURLToPath(new URL(`${name}_fuzz.ts`, import.meta.url));
const { harness } = (await import(file)) as { harness: Harness };
const { generator } = await import('../../daemon/wireguard/simulation.ts');
const random = generator(Number(seed));
const corpus: Uint8Array[] = [...harness.seeds];
const seen = new Set<string>();
const report: RunnerReport = { executions: 0, coverage: 0, corpus: 0 };

/** False: a property does not hold. */
function holds(input: Uint8Array): boolean {
  report.executions++;
  try {
    harness.run(input);
    return true;
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    report.finding = { input: Buffer.from(input).toString('base64'), error: text };
    return false;
  }
}

function fuzz(until: number): void {
  for (const input of harness.seeds) if (!holds(input)) return;
  for (const block of coverage.take()) seen.add(block);
  const pick = (): Uint8Array => corpus[Math.floor(random() * corpus.length)] ?? new Uint8Array(0);
  while (performance.now() < until) {
    const batch = Array.from({ length: harness.batch }, () => mutate(pick(), pick(), harness.tokens, random));
    for (const input of batch) if (!holds(input)) return;
    if ([...coverage.take()].every((block) => seen.has(block))) continue;
    // Find the inputs with new coverage: run each again, alone.
    for (const input of batch) {
      if (!holds(input)) return;
      const blocks = coverage.take();
      if ([...blocks].every((block) => seen.has(block))) continue;
      for (const block of blocks) seen.add(block);
      corpus.push(input);
    }
  }
}

fuzz(performance.now() + Number(seconds) * 1_000);
report.coverage = seen.size;
report.corpus = corpus.length;
process.stdout.write(`${JSON.stringify(report)}\n`);
process.exitCode = report.finding === undefined ? 0 : 1;
