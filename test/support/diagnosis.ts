/** What `hawser doctor` says, run as a person does, and a table of what was planted and how it was named. */
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Finding } from '../../cli/doctor/finding.ts';
import { table } from '../../cli/terminal.ts';
import type { BedCluster } from '../testbed/index.ts';
import { runAnyway, sleep } from '../testbed/run.ts';

export const cli = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');

/** What is not good, as the command says it. */
async function complaints(cluster: BedCluster, args: readonly string[] = []): Promise<Finding[]> {
  const { exitCode, stdout, stderr } = await runAnyway(
    [process.execPath, cli, 'doctor', ...args, '-o', 'json', '--kubeconfig', cluster.kubeconfig],
    { timeoutMilliseconds: 90_000 },
  );
  if (exitCode !== 0 && exitCode !== 1) throw new Error(`hawser doctor ended with ${exitCode}: ${stderr}`);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  const bad = findings.filter(({ verdict }) => verdict === 'Bad');
  assert.is(exitCode, bad.length > 0 ? 1 : 0);
  return (
    findings
      .filter(({ verdict }) => verdict === 'Bad' || verdict === 'Warning')
      // The bed's CNI enforces none, and that is so from the beginning to the end.
      .filter(({ check }) => check !== 'network-policies')
  );
}

const text = (findings: readonly Finding[]) =>
  findings.map(({ check, seen }) => `${check}: ${seen}`).join('\n    ');

/** Until nothing is wrong any more. */
export async function well(cluster: BedCluster, seconds = 240): Promise<void> {
  const begun = performance.now();
  for (;;) {
    const found = await complaints(cluster);
    if (found.length === 0) return;
    if (performance.now() - begun > seconds * 1000)
      throw new Error(`${cluster.name} is not well after ${seconds} s:\n    ${text(found)}`);
    await sleep(500);
  }
}

/** Sees what was planted be named, and remembers how. */
export class Diagnosis {
  readonly #rows: string[][] = [];

  /** Until all of these are named; each with why and what to do. */
  async named(
    cluster: BedCluster,
    wanted: Readonly<Record<string, RegExp>>,
    args: readonly string[] = [],
    seconds = 180,
  ): Promise<void> {
    const begun = performance.now();
    const open = new Map(Object.entries(wanted));
    for (;;) {
      const found = await complaints(cluster, args);
      for (const [check, pattern] of open) {
        const match = found.find((finding) => finding.check === check && pattern.test(finding.seen));
        if (match === undefined) continue;
        open.delete(check);
        assert.ok((match.why ?? '') !== '' && (match.hint ?? '') !== '', `${check}: why, and what to do`);
        const after = `${((performance.now() - begun) / 1000).toFixed(0)} s`;
        this.#rows.push([check, cluster.name, after, match.seen]);
      }
      if (open.size === 0) return;
      if (performance.now() - begun > seconds * 1000)
        throw new Error(`not named in ${seconds} s: ${[...open.keys()].join(', ')}; but\n    ${text(found)}`);
      await sleep(500);
    }
  }

  /** Which checks have named something. */
  get checks(): ReadonlySet<string> {
    return new Set(this.#rows.map(([check = '']) => check));
  }

  /** One line a fault, in the words of `faults` (check → what was planted). */
  table(faults: Readonly<Record<string, string>>): string {
    const rows = this.#rows.map(([check = '', ...rest]) => [faults[check] ?? '', check, ...rest]);
    return table([['PLANTED', 'CHECK', 'AT', 'AFTER', 'SEEN'], ...rows]);
  }
}
