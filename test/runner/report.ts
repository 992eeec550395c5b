/** The report of a test file's process to its parent. */
export type FileReport =
  | { type: 'running'; test: string }
  | { type: 'finished'; passed: number; failed: number; skipped: number; complaints: string[] }
  | { type: 'left-open'; resources: string[] };

/** The result of one test file. A file that did not run to its end counts as one more failed test. */
export interface FileResult {
  file: string;
  passed: number;
  failed: number;
  skipped: number;
  milliseconds: number;
  /** Reasons of its failure besides failing tests. */
  complaints: string[];
  /** Its complete output. */
  output: string;
}

export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** `N passed, N failed`, and the skipped ones if there are any. */
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
  /** Average number of busy cores meanwhile: if it is far below all cores, the section mostly waits. */
  busyCores: number;
}

/** One row per section: its result, its tests, its seconds, its share of the total, and how busy the machine was. */
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
      // Words are left-aligned, numbers right-aligned.
      .map((cell, column) => (column < 2 ? cell.padEnd(width(column)) : cell.padStart(width(column))))
      .join('  ')
      .trimEnd(),
  );
}
