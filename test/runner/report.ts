/** What a process that runs one test file tells the one that started it. */
export type FileReport =
  | { type: 'running'; test: string }
  | { type: 'finished'; passed: number; failed: number; skipped: number; complaints: string[] }
  | { type: 'left-open'; resources: string[] };

/** What came out of one test file. A file that could not be run to its end counts as one failed test more. */
export interface FileResult {
  file: string;
  passed: number;
  failed: number;
  skipped: number;
  milliseconds: number;
  /** Why it failed beyond failing tests. */
  complaints: string[];
  /** All it printed. */
  output: string;
}

export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** `N passed, N failed`, and the skipped if there are any. */
export function totalsLine(totals: Totals): string {
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
  return `${totals.passed} passed, ${totals.failed} failed${skipped}`;
}

export function sum(parts: readonly Totals[]): Totals {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  for (const part of parts) {
    totals.passed += part.passed;
    totals.failed += part.failed;
    totals.skipped += part.skipped;
  }
  return totals;
}

/** `0.3 s`, `2 m 05 s`. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} m ${String(Math.floor(seconds % 60)).padStart(2, '0')} s`;
}

export interface SectionResult {
  name: string;
  totals: Totals;
  milliseconds: number;
  /** Cores of the machine that were busy meanwhile, on average: what is far below all of them waits. */
  busyCores: number;
}

/** One row a section: whether it passed, its tests, its seconds, its share of them all, and how busy the machine was. */
export function table(results: readonly SectionResult[]): string[] {
  const whole = results.reduce((milliseconds, result) => milliseconds + result.milliseconds, 0);
  const rows = results.map(({ name, totals, milliseconds, busyCores }) => [
    totals.failed > 0 ? 'FAIL' : 'ok',
    name,
    String(totals.passed),
    String(totals.failed),
    String(totals.skipped),
    (milliseconds / 1000).toFixed(1),
    `${((100 * milliseconds) / (whole || 1)).toFixed(0)} %`,
    busyCores.toFixed(1),
  ]);
  const all = [['', 'section', 'passed', 'failed', 'skipped', 'seconds', 'share', 'busy cores'], ...rows];
  const width = (column: number) => Math.max(...all.map((row) => row[column]?.length ?? 0));
  return all.map((row) =>
    row
      // Words to the left, numbers to the right.
      .map((cell, column) => (column < 2 ? cell.padEnd(width(column)) : cell.padStart(width(column))))
      .join('  ')
      .trimEnd(),
  );
}
