/** Applies a plan to a node's kernel, detects and repairs changes by others, and removes everything at the end. */
import type { RunCommand } from './command.ts';
import { runChecked } from './command.ts';
import { diffHost, diffNothing, type HostDifference } from './difference.ts';
import { readCounterName, type Counts } from './isolation-rules.ts';
import { nftTable } from './constants.ts';
import { forgetConnections } from './connections.ts';
import { applyNft, observeHost, readOwnTables, type ObservedHost } from './observe.ts';
import { readNetworks, withhold, type RefusedRoute } from './needed.ts';
import { normalizePlan, type HostPlan } from './plan.ts';
import { wantedTables, type OwnTable } from './tables.ts';

export interface HostReport {
  /** What was changed, and why; empty when the kernel already matched the plan. */
  changes: string[];
  /** Whether the TUN device exists; without it only part of a plan can be applied. */
  devicePresent: boolean;
  /** Routes of the plan that were not added, since they would cover ranges that the node needs. */
  refused: RefusedRoute[];
  /** Destinations of the node's own routes, other than default routes. */
  networks: readonly string[];
}

/** Packets dropped by the isolation rules. */
export interface HostRefusal {
  /** Empty for an address that was not known yet to belong to any pod. */
  remoteCluster: string;
  reason: string;
  packets: number;
}

export interface Host {
  /** Applies the plan to the kernel. Throws CommandError when a command fails, after all others were applied. */
  apply(plan: HostPlan, signal: AbortSignal): Promise<HostReport>;
  /** Removes everything of Hawser's that does not vanish with the device. */
  cleanup(device: string, signal: AbortSignal): Promise<HostReport>;
  /** Packets of consumers' pods refused since the rules were added. */
  refusals(signal: AbortSignal): Promise<HostRefusal[]>;
}

/**
 * A host over the system's `ip` and `nft`. Calls must not overlap.
 *
 * @param run runs programs; tests prepend `ip netns exec`
 */
export function createHost(run: RunCommand): Host {
  /** A table is compared with its content right after it was created, since nft normalizes its input. */
  const applied = new Map<OwnTable, { request: string; content: string }>();
  /** Remote ranges for which no packet could leave by another device since. Absent: nothing has been applied yet. */
  let closed: ReadonlySet<string> | undefined;

  /** A range that had no rules until now may have connections that left by the uplink, and keep its source for as long as they last. */
  async function forgetOpened(plan: HostPlan, observed: ObservedHost, signal: AbortSignal) {
    const { remoteRanges } = plan.packets;
    const before = observed.tables.has(`inet ${nftTable}`) ? (closed ?? new Set(remoteRanges)) : new Set();
    const opened = remoteRanges.filter((range) => !before.has(range));
    await forgetConnections(run, opened, signal);
    closed = new Set(remoteRanges);
  }

  /** Applies everything that succeeds, then throws for the rest. Rules are applied before the routes that they protect. */
  async function perform(difference: HostDifference, signal: AbortSignal): Promise<string[]> {
    const failures: unknown[] = [];
    const attempt = async (work: Promise<unknown>) => {
      try {
        await work;
      } catch (error) {
        if (signal.aborted) throw error;
        failures.push(error);
      }
    };
    for (const { commands } of difference.nft) await attempt(applyNft(run, commands, signal));
    for (const family of [4, 6] as const) {
      const lines = difference.ip.filter((change) => change.family === family).map((change) => change.line);
      if (lines.length === 0) continue;
      // With -force the remaining lines run after a failed one; the exit code still reports the failure.
      const input = `${lines.join('\n')}\n`;
      await attempt(runChecked(run, 'ip', [`-${family}`, '-force', '-batch', '-'], { input, signal }));
    }
    if (failures.length > 0) throw failures[0];
    return [...difference.ip, ...difference.nft].flatMap(({ why }) => why ?? []);
  }

  return {
    async apply(plan, signal) {
      const kernel = await readNetworks(run, plan.device, signal);
      const { plan: allowed, refused } = withhold(plan, kernel);
      const normal = normalizePlan(allowed);
      const podAddresses = normal.isolation?.tenants.flatMap(({ here }) => here);
      const observed = await observeHost(run, normal.device, signal, podAddresses);
      const wanted = wantedTables(normal, observed.podDevices);
      const known = new Map(
        wanted.flatMap(({ table, request }) => {
          const before = applied.get(table);
          return before?.request === request ? [[table, before.content] as const] : [];
        }),
      );
      const difference = diffHost(normal, observed, known);
      const changes = await perform(difference, signal);
      await forgetOpened(normal, observed, signal);
      if (difference.nft.length > 0) {
        const now = await readOwnTables(run, signal);
        applied.clear();
        for (const { table, request } of wanted) {
          const content = now.get(table)?.content;
          if (content !== undefined) applied.set(table, { request, content });
        }
      }
      const devicePresent = observed.link !== undefined;
      return { changes, devicePresent, refused, networks: kernel.routes };
    },
    async cleanup(device, signal) {
      applied.clear();
      closed = undefined;
      const observed = await observeHost(run, device, signal);
      const changes = await perform(diffNothing(observed), signal);
      return { changes, devicePresent: observed.link !== undefined, refused: [], networks: [] };
    },
    async refusals(signal) {
      const tables = [...(await readOwnTables(run, signal)).values()];
      return sumRefusals(tables.map(({ counts }) => counts));
    },
  };
}

/** The nonzero counters of all tables. */
function sumRefusals(tables: readonly Counts[]): HostRefusal[] {
  const sums = new Map<string, number>();
  for (const counts of tables) {
    for (const [name, { packets }] of counts) sums.set(name, (sums.get(name) ?? 0) + packets);
  }
  return [...sums.keys()].toSorted().flatMap((name) => {
    const read = readCounterName(name);
    const packets = sums.get(name) ?? 0;
    return read === undefined || packets === 0 ? [] : [{ ...read, packets }];
  });
}
