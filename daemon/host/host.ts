/** Holds a node's kernel to a plan: applies it, notices when somebody else changes it, repairs it, takes it away. */
import type { RunCommand } from './command.ts';
import { runChecked } from './command.ts';
import { diffHost, diffNothing, type HostDifference } from './difference.ts';
import { applyNft, observeHost, readTable } from './observe.ts';
import { normalizePlan, type HostPlan } from './plan.ts';

export interface HostReport {
  /** What was changed, and why; empty when all was as planned. */
  changes: string[];
  /** Whether the TUN device was there; without it only part of a plan can be applied. */
  devicePresent: boolean;
}

export interface Host {
  /** Brings the kernel to the plan. Throws CommandError when a program refuses; what could be done is done. */
  apply(plan: HostPlan, signal: AbortSignal): Promise<HostReport>;
  /** Takes away everything of Hawser's that does not go with the device. */
  cleanup(device: string, signal: AbortSignal): Promise<HostReport>;
}

/**
 * A host over the system's `ip` and `nft`. Calls must not overlap.
 *
 * @param run how programs are run; tests put `ip netns exec` before
 */
export function createHost(run: RunCommand): Host {
  /** The nft table is compared by what it looked like right after it was made, since nft rewrites what it is given. */
  let applied: { packets: string; listing: string } | undefined;

  async function perform(difference: HostDifference, signal: AbortSignal): Promise<string[]> {
    for (const family of [4, 6] as const) {
      const lines = difference.ip.filter((change) => change.family === family).map((change) => change.line);
      if (lines.length === 0) continue;
      // With -force the rest is done when one line fails; the exit code tells of the failure all the same.
      const input = `${lines.join('\n')}\n`;
      await runChecked(run, 'ip', [`-${family}`, '-force', '-batch', '-'], { input, signal });
    }
    for (const change of difference.nft) await applyNft(run, change.commands, signal);
    return [...difference.ip, ...difference.nft].map((change) => change.why);
  }

  return {
    async apply(plan, signal) {
      const wanted = normalizePlan(plan);
      const packets = JSON.stringify([wanted.device, wanted.packets]);
      const observed = await observeHost(run, wanted.device, signal);
      const known = applied?.packets === packets ? applied.listing : undefined;
      const difference = diffHost(wanted, observed, known);
      const tableChanges = observed.table === undefined || observed.table !== known;
      const changes = await perform(difference, signal);
      if (tableChanges) {
        const listing = await readTable(run, signal);
        applied = listing === undefined ? undefined : { packets, listing };
      }
      return { changes, devicePresent: observed.link !== undefined };
    },
    async cleanup(device, signal) {
      applied = undefined;
      const observed = await observeHost(run, device, signal);
      const changes = await perform(diffNothing(observed), signal);
      return { changes, devicePresent: observed.link !== undefined };
    },
  };
}
