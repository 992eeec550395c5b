/** `hawser doctor` for people. Pure. */
import { plainLine } from '../../shared/plain-text.ts';
import type { Mark, Painter } from '../terminal.ts';
import { countVerdicts } from './diagnose.ts';
import { groups, type Finding, type Verdict } from './finding.ts';

const marks: Readonly<Record<Verdict, Mark>> = {
  Good: 'done',
  Warning: 'warning',
  Bad: 'failed',
  Unknown: 'unknown',
};

/** Findings by group; for those that are not good, why it matters, what to do, and where to read more. */
export function doctorText(findings: readonly Finding[], paint: Painter): string {
  const lines: string[] = [];
  for (const group of groups) {
    const own = findings.filter((finding) => finding.group === group);
    if (own.length === 0) continue;
    lines.push(paint.style('bold', group));
    for (const { verdict, check, seen, why, hint, docs } of own) {
      lines.push(`  ${paint.mark(marks[verdict])} ${check}: ${seen}`);
      if (verdict === 'Good') continue;
      if (why !== undefined) lines.push(`      why: ${why}`);
      if (hint !== undefined) lines.push(`      fix: ${hint}`);
      if (docs !== undefined) lines.push(`      see: ${docs}`);
    }
    lines.push('');
  }
  lines.push(summary(findings));
  return lines.map(plainLine).join('\n');
}

function summary(findings: readonly Finding[]): string {
  const { Bad, Warning, Unknown } = countVerdicts(findings);
  const count = (number: number, one: string, many: string) => `${number} ${number === 1 ? one : many}`;
  if (Bad + Warning + Unknown === 0) return `No problems found: ${findings.length} checks passed.`;
  const unknown = Unknown === 0 ? '' : `, ${Unknown} not checked`;
  return `${count(Bad, 'problem', 'problems')}, ${count(Warning, 'warning', 'warnings')}${unknown} in ${findings.length} checks.`;
}
