/** Checks periodically for settings of the node that interfere with the fabric, and reports changes. */
import type { HostProblem } from '../../../shared/api/network.ts';
import type { HostPlan } from '../../host/index.ts';
import { messageOf, stableText, type Log } from '../../kube/index.ts';
import { sleep, type Clock } from '../../../shared/time.ts';

export type FindHostProblems = (
  tunnelled: { device: string; remoteRanges: readonly string[] },
  signal: AbortSignal,
) => Promise<HostProblem[]>;

export interface HostWatchOptions {
  find: FindHostProblems;
  /** The current plan; undefined before the first one. */
  plan: () => HostPlan | undefined;
  /** Called with all problems when they change. */
  onChange: (problems: readonly HostProblem[]) => void;
  clock: Clock;
  log: Log;
}

/** Interval of the checks: other programs may change settings at any time. */
const lookMilliseconds = 15_000;
/** Interval until the first plan. */
const planMilliseconds = 1_000;

/** Runs until the signal is aborted. A failed check leaves the known problems unchanged. */
export async function watchHost(options: HostWatchOptions, signal: AbortSignal): Promise<void> {
  const { find, plan, onChange, clock, log } = options;
  let known = stableText([]);
  let failed = '';
  while (!signal.aborted) {
    const host = plan();
    if (host !== undefined) {
      try {
        const problems = await find({ device: host.device, remoteRanges: host.packets.remoteRanges }, signal);
        failed = '';
        const text = stableText(problems);
        if (text !== known) {
          known = text;
          for (const { message } of problems)
            log.warn('settings of this node interfere with the fabric', { message });
          onChange(problems);
        }
      } catch (error) {
        const message = messageOf(error);
        if (!signal.aborted && message !== failed)
          log.warn('failed to check the node for interfering settings', { error: message });
        failed = message;
      }
    }
    await sleep(host === undefined ? planMilliseconds : lookMilliseconds, signal, clock);
  }
}
