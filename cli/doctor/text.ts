/** `hawser doctor` for people. Pure. */
import type { Styler } from '../status-text.ts';
import { countVerdicts } from './diagnose.ts';
import { groups, type Finding, type Verdict } from './finding.ts';

const words: Readonly<Record<Verdict, string>> = { Good: 'ok', Warning: '!!', Bad: 'no', Unknown: '??' };
const colours = { Good: 'green', Warning: 'yellow', Bad: 'red', Unknown: 'yellow' } as const;

/** Findings by group; of what is not good, why it matters and what to do. */
export function doctorText(findings: readonly Finding[], style: Styler): string {
  const lines: string[] = [];
  for (const group of groups) {
    const own = findings.filter((finding) => finding.group === group);
    if (own.length === 0) continue;
    lines.push(style('bold', group));
    for (const { verdict, check, seen, why, hint } of own) {
      lines.push(`  ${style(colours[verdict], words[verdict])} ${check}: ${seen}`);
      if (verdict === 'Good') continue;
      if (why !== undefined) lines.push(`       why   ${why}`);
      if (hint !== undefined) lines.push(`       do    ${hint}`);
    }
    lines.push('');
  }
  lines.push(summary(findings));
  return lines.join('\n');
}

function summary(findings: readonly Finding[]): string {
  const { Bad, Warning, Unknown } = countVerdicts(findings);
  const count = (number: number, one: string, many: string) => `${number} ${number === 1 ? one : many}`;
  if (Bad + Warning + Unknown === 0) return `All is well: ${findings.length} checks.`;
  const unknown = Unknown === 0 ? '' : `, ${Unknown} not seen`;
  return `${count(Bad, 'problem', 'problems')}, ${count(Warning, 'warning', 'warnings')}${unknown} in ${findings.length} checks.`;
}
