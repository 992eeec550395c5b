/** The results of `hawser doctor`, run as a user does, and a table of planted faults and their findings. */
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { Finding } from '../../cli/doctor/finding.ts';
import { table } from '../../cli/terminal.ts';
import type { BedCluster } from '../testbed/index.ts';
import { runAnyway, sleep } from '../testbed/run.ts';

export const cli = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');

/** Findings with verdict Bad or Warning. */
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
      // The testbed's CNI never enforces network policies.
      .filter(({ check }) => check !== 'network-policies')
  );
}

const text = (findings: readonly Finding[]) =>
  findings.map(({ check, seen }) => `${check}: ${seen}`).join('\n    ');

/** Waits until there are no findings. */
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

/** Checks that planted faults are found, and records the findings. */
export class Diagnosis {
  readonly #rows: string[][] = [];

  /** Waits until all of these checks have a finding, each with a reason and a remedy. */
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

  /** The checks that had a finding. */
  get checks(): ReadonlySet<string> {
    return new Set(this.#rows.map(([check = '']) => check));
  }

  /** One line per fault, in the words of `faults` (check → planted fault). */
  table(faults: Readonly<Record<string, string>>): string {
    const rows = this.#rows.map(([check = '', ...rest]) => [faults[check] ?? '', check, ...rest]);
    return table([['PLANTED', 'CHECK', 'AT', 'AFTER', 'SEEN'], ...rows]);
  }
}
