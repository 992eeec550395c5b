/** `hawser trace` for people. Pure. */
import { plainLine } from '../../shared/plain-text.ts';
import type { Painter } from '../terminal.ts';
import type { TraceReport } from './measured.ts';

const marks = { Passes: 'done', Stops: 'failed', Unknown: 'unknown' } as const;

export function traceText({ hops, outcome, stopsAt, how }: TraceReport, paint: Painter): string {
  const lines: string[] = [];
  for (const { at, source, destination, terms, verdict, why, measured } of hops) {
    lines.push(`${paint.mark(marks[verdict])} ${paint.style('bold', at)}`);
    lines.push(`    ${source} → ${destination}  in the address space of ${terms}`);
    lines.push(`    computed: ${why}`);
    if (measured !== undefined) lines.push(`    measured: ${measured}`);
  }
  const end = {
    Arrives: 'The packet arrives, and the reply comes back.',
    Stops: `The packet is dropped at: ${stopsAt ?? ''}.`,
    Doubtful: `Probes of the node arrive; whether packets of the pod arrive is uncertain: see ${paint.mark('unknown')} above.`,
    Unknown: 'Nothing indicates that the packet is dropped; whether it arrives was not measured.',
  }[outcome];
  return [...lines, '', end, how].map(plainLine).join('\n');
}
