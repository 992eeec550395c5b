/** What came of the attacks, as it is printed. Pure. */
import { table } from '../../cli/terminal.ts';
import { plainLine } from '../../shared/plain-text.ts';
import type { Outcome } from './attack.ts';
import { bound, noticedText, type Noticed } from './noticed.ts';

export interface Row {
  attack: string;
  seconds: number;
  /** Undefined: it was not stopped, or not as it had to be. */
  outcome: Outcome | undefined;
  noticed: Noticed;
  /** Why the row is not as it must be; empty when it is. */
  problems: string[];
}

/** One row's lines. */
export function rowText({ attack, seconds, outcome, noticed, problems }: Row): string {
  const lines = [
    `${problems.length === 0 ? 'ok  ' : 'FAIL'} ${attack} (${seconds.toFixed(1)} s)`,
    ...(outcome === undefined
      ? []
      : [`       stopped by  ${outcome.stopped}`, `       seen at     ${outcome.seenAt}`]),
    `       neighbour   ${noticedText(noticed)}`,
    ...problems.map((problem) => `       ${problem}`),
  ];
  return lines.map((line) => plainLine(line)).join('\n');
}

/** All of it in a table, and the bound that the neighbour is held to. */
export function report(rows: readonly Row[]): string {
  const cells = rows.map(({ attack, outcome, noticed, problems }) => [
    attack,
    problems.length > 0 ? 'NOT AS IT MUST BE' : (outcome?.stopped ?? ''),
    outcome?.seenAt ?? '',
    noticedText(noticed),
  ]);
  return [
    table([['ATTACK', 'STOPPED BY', 'SEEN AT', 'THE NEIGHBOUR'], ...cells]),
    '',
    `Bound for the neighbour in each row: ${bound.lostShare * 100} % of datagrams, no failed request or call, none longer than ${bound.worstMilliseconds / 1000} s, its pod untouched.`,
  ].join('\n');
}
