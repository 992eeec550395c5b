/** Holds a node's kernel to a plan: applies it, notices changes by others, repairs them, and removes everything in the end. */
import type { RunCommand } from './command.ts';
import { runChecked } from './command.ts';
import { diffHost, diffNothing, type HostDifference } from './difference.ts';
import { readCounterName, type Counts } from './isolation-rules.ts';
import { applyNft, observeHost, readOwnTables } from './observe.ts';
import { readNetworks, withhold, type RefusedRoute } from './needed.ts';
import { normalizePlan, type HostPlan } from './plan.ts';
import { wantedTables, type OwnTable } from './tables.ts';

export interface HostReport {
  /** What was changed, and why; empty when all was as planned. */
  changes: string[];
  /** Whether the TUN device was there; without it only part of a plan can be applied. */
  devicePresent: boolean;
  /** Routes of the plan that were not made, since they would cover what the node needs. */
  refused: RefusedRoute[];
  /** What the node has routes to without Hawser, other than by default. */
  networks: readonly string[];
}

/** Packets that the rules of isolation dropped. */
export interface HostRefusal {
  /** Empty: of an address that was not known yet to be anybody's. */
  remoteCluster: string;
  reason: string;
  packets: number;
}

export interface Host {
  /** Brings the kernel to the plan. Throws CommandError when a program refuses; what could be done is done. */
  apply(plan: HostPlan, signal: AbortSignal): Promise<HostReport>;
  /** Takes away everything of Hawser's that does not go with the device. */
  cleanup(device: string, signal: AbortSignal): Promise<HostReport>;
  /** What of consumers' pods was refused since the rules are there. */
  refusals(signal: AbortSignal): Promise<HostRefusal[]>;
}

/**
 * A host over the system's `ip` and `nft`. Calls must not overlap.
 *
 * @param run how programs are run; tests put `ip netns exec` before
 */
export function createHost(run: RunCommand): Host {
  /** A table is compared by what it held right after it was made, since nft rewrites what it is given. */
  const applied = new Map<OwnTable, { request: string; content: string }>();

  /** Does all that can be done, and says then what could not. Rules come before the routes that they are for. */
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
      // With -force the rest is done when one line fails; the exit code tells of the failure all the same.
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

/** Of all tables together, those that are not none. */
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
