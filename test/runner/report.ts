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
