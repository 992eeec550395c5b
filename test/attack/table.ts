/** The printed results of the attacks. Pure. */
import { table } from '../../cli/terminal.ts';
import { plainLine } from '../../shared/plain-text.ts';
import type { Outcome } from './attack.ts';
import { bound, noticedText, type Noticed } from './noticed.ts';

export interface Row {
  attack: string;
  seconds: number;
  /** Undefined: it was not stopped, or not as required. */
  outcome: Outcome | undefined;
  noticed: Noticed;
  /** Reasons of a failed row; empty if it is as required. */
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

/** The table of all rows, with the bound of effects on the neighbour. */
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
