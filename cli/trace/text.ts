/** `hawser trace` for people. Pure. */
import type { Styler } from '../status-text.ts';
import type { TraceReport } from './measured.ts';

const words = { Passes: ['ok', 'green'], Stops: ['no', 'red'], Unknown: ['??', 'yellow'] } as const;

export function traceText({ hops, outcome, stopsAt, how }: TraceReport, style: Styler): string {
  const lines: string[] = [];
  for (const { at, source, destination, terms, verdict, why, measured } of hops) {
    const [word, colour] = words[verdict];
    lines.push(`${style(colour, word)} ${style('bold', at)}`);
    lines.push(`     ${source} → ${destination}  in terms of ${terms}`);
    lines.push(`     computed  ${why}`);
    if (measured !== undefined) lines.push(`     measured  ${measured}`);
  }
  const end = {
    Arrives: 'It arrives, and the answer comes back.',
    Stops: `It stops at: ${stopsAt ?? ''}.`,
    Doubtful: 'The probes of the node arrive; whether packets of the pod do is not certain: see ?? above.',
    Unknown: 'Nothing says that it stops; whether it arrives was not measured.',
  }[outcome];
  return [...lines, '', end, how].join('\n');
}
