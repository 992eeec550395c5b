/** Polls the counters of packets that the node's rules refused to consumers' pods, and reports increases. */
import type { HostRefusal } from '../../host/index.ts';
import { messageOf, stableText, type Log } from '../../kube/index.ts';
import { sleep, type Clock } from '../../../shared/time.ts';

export interface RefusalWatchOptions {
  read: (signal: AbortSignal) => Promise<HostRefusal[]>;
  /** Whether the node has such rules now. */
  isolates: () => boolean;
  /** Called with all refusals when they change. */
  onChange: (refusals: readonly HostRefusal[]) => void;
  clock: Clock;
  log: Log;
}

/** Poll interval; each poll runs programs. */
const lookMilliseconds = 5_000;

/** Runs until the signal is aborted. Counts are kept when the rules are removed with the last pod. */
export async function watchRefusals(options: RefusalWatchOptions, signal: AbortSignal): Promise<void> {
  const { read, isolates, onChange, clock, log } = options;
  let known = stableText([]);
  let failed = '';
  while (!signal.aborted) {
    if (isolates()) {
      try {
        const refusals = await read(signal);
        failed = '';
        const text = stableText(refusals);
        if (text !== known) onChange(refusals);
        known = text;
      } catch (error) {
        const message = messageOf(error);
        if (!signal.aborted && message !== failed)
          log.warn('failed to read the counters of refused packets', { error: message });
        failed = message;
      }
    }
    await sleep(lookMilliseconds, signal, clock);
  }
}
