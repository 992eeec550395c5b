/**
 * Faults of the wide area, for tests. Each is undone by its `remove()`, or at the end of a block that declares it with `await
 * using`; `heal()` undoes all, including those of other processes: the kernel alone holds the active faults.
 *
 * The link between this machine and the clusters is never disturbed: commands keep working.
 */
import { randomBytes } from 'node:crypto';
import { bridgeRules, firewallRules, natRules } from './fault-rules.ts';
import type { FirewallRequest, NatTranslation, TrafficRequest } from './fault-rules.ts';
import { inNamespace } from './places.ts';
import type { BedPlan, ClusterPlan } from './plan.ts';
import { startRelay, stopRelay } from './relay/relay.ts';
import type { Impairment } from './relay/link.ts';
import { run, runAnyway } from './run.ts';

export interface Fault extends AsyncDisposable {
  /** Packets dropped so far; 0 for faults that do not drop by a rule. */
  dropped(): Promise<number>;
  remove(): Promise<void>;
}

export interface NatRequest extends NatTranslation {
  /** How long connection tracking keeps an idle UDP flow. Linux: 30 s, 120 s after traffic in both directions. */
  forgetAfterSeconds?: number;
}

export interface Faults {
  /** Drops traffic between clusters: all, matching packets, or a percentage. */
  drop(request: TrafficRequest): Promise<Fault>;
  /** Silently drops everything between two clusters. */
  partition(one: string, other: string): Promise<Fault>;
  /** Delay, jitter, reordering, duplication and loss of all packets that one cluster sends and receives. */
  impair(cluster: string, impairment: Impairment): Promise<Fault>;
  /** The MTU of the wide area. Edges send ICMP errors as routers do, or none if `silent`. */
  mtu(bytes: number, options?: { silent?: boolean }): Promise<Fault>;
  /** Admits only the given ports. Established flows continue. */
  firewall(cluster: string, request: FirewallRequest): Promise<Fault>;
  nat(cluster: string, request: NatRequest): Promise<Fault>;
  /** Restarts the NAT: all UDP flows through this cluster's edge are forgotten at once. */
  forgetFlows(cluster: string): Promise<void>;
  /** Undoes all faults of this testbed. */
  heal(): Promise<void>;
}

const ordinaryMtu = 1500;
/** Linux's own values: Documentation/networking/nf_conntrack-sysctl.rst */
const udpTimeouts = { nf_conntrack_udp_timeout: 30, nf_conntrack_udp_timeout_stream: 120 };
const offloads = ['tso', 'gso', 'gro', 'tx-udp-segmentation'];

export function faultsOf(bed: BedPlan): Faults {
  const find = (name: string): ClusterPlan => {
    const found = bed.clusters.find((cluster) => cluster.name === name);
    if (found === undefined) throw new Error(`bed ${bed.name} has no cluster ${name}`);
    return found;
  };
  const faults: Faults = {
    drop: async (request) => {
      await setOffloads(bed, 'off');
      const table = newTable();
      const ports = new Map(bed.clusters.map((cluster) => [cluster.name, cluster.wideAreaPort]));
      return await inForce(bed.wideAreaNetns, 'bridge', table, bridgeRules(table, request, ports));
    },
    partition: (one, other) => faults.drop({ between: [one, other] }),
    impair: async (cluster, impairment) => {
      const plan = find(cluster);
      await startRelay(bed, plan, impairment);
      return faultOf(
        () => Promise.resolve(0),
        () => stopRelay(bed, plan),
      );
    },
    mtu: async (bytes, options = {}) => {
      // 576: the least that every host must accept (RFC 791); nothing here works below it.
      if (!Number.isInteger(bytes) || bytes < 576 || bytes > ordinaryMtu) {
        throw new RangeError(`an MTU of ${bytes} is not between 576 and ${ordinaryMtu}`);
      }
      if (options.silent) return await faults.drop({ longerThan: bytes });
      await setMtu(bed, bytes);
      return faultOf(
        () => Promise.resolve(0),
        () => setMtu(bed, ordinaryMtu),
      );
    },
    firewall: async (cluster, request) => {
      const table = newTable();
      const rules = firewallRules(table, request, bed.hostAddress);
      return await inForce(find(cluster).edgeNetns, 'ip', table, rules);
    },
    nat: async (cluster, request) => {
      const plan = find(cluster);
      const table = newTable();
      const rules = natRules(table, plan, request);
      if (request.otherAddress) await setSecondAddress(plan, 'replace');
      const fault = await inForce(plan.edgeNetns, 'ip', table, rules);
      if (request.forgetAfterSeconds !== undefined) await setUdpTimeouts(plan, request.forgetAfterSeconds);
      await faults.forgetFlows(cluster);
      return faultOf(
        () => fault.dropped(),
        async () => {
          await fault.remove();
          if (request.otherAddress) await setSecondAddress(plan, 'del');
          await setUdpTimeouts(plan, undefined);
          await faults.forgetFlows(cluster);
        },
      );
    },
    forgetFlows: async (cluster) => {
      // Exit code 1 means that there was no flow.
      await runAnyway(inNamespace(find(cluster).edgeNetns, ['conntrack', '-D', '-p', 'udp']));
    },
    heal: async () => {
      await removeTables(bed.wideAreaNetns);
      for (const cluster of bed.clusters) {
        await removeTables(cluster.edgeNetns);
        await stopRelay(bed, cluster);
        await setSecondAddress(cluster, 'del');
        await setUdpTimeouts(cluster, undefined);
      }
      await setMtu(bed, ordinaryMtu);
      await setOffloads(bed, 'on');
    },
  };
  return faults;
}

const tablePrefix = 'fault-';

function newTable(): string {
  return tablePrefix + randomBytes(4).toString('hex');
}

function faultOf(dropped: () => Promise<number>, undo: () => Promise<void>): Fault {
  let removed: Promise<void> | undefined;
  const remove = () => (removed ??= undo());
  return { dropped, remove, [Symbol.asyncDispose]: remove };
}

/** A fault that consists of an nft table, in some namespace. */
async function inForce(netns: string, family: string, table: string, rules: string): Promise<Fault> {
  await run(inNamespace(netns, ['nft', '-f', '-']), { input: rules });
  return faultOf(
    async () => {
      const listing = await run(inNamespace(netns, ['nft', '-j', 'list', 'table', family, table]));
      return droppedPackets(listing);
    },
    async () => {
      await run(inNamespace(netns, ['nft', '-f', '-']), {
        // Declared before it is deleted, so that it is no error if `heal` was faster.
        input: `table ${family} ${table} {}\ndelete table ${family} ${table}\n`,
      });
    },
  );
}

/** The sum of all counters in a listing of `nft -j`. */
export function droppedPackets(listing: string): number {
  const { nftables } = JSON.parse(listing) as {
    nftables: { rule?: { expr: { counter?: { packets: number } }[] } }[];
  };
  return nftables
    .flatMap(({ rule }) => rule?.expr ?? [])
    .reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
}

async function removeTables(netns: string): Promise<void> {
  const listing = await run(inNamespace(netns, ['nft', 'list', 'tables']));
  const tables = listing.split('\n').filter((line) => line.includes(` ${tablePrefix}`));
  if (tables.length === 0) return;
  await run(inNamespace(netns, ['nft', '-f', '-']), {
    input: tables.map((table) => `delete ${table}\n`).join(''),
  });
}

/** Rules must see packets as a wire carries them, not the aggregated ones of virtual links. */
async function setOffloads(bed: BedPlan, state: 'on' | 'off'): Promise<void> {
  const features = offloads.flatMap((feature) => [feature, state]);
  for (const cluster of bed.clusters) {
    await run(inNamespace(cluster.edgeNetns, ['ethtool', '-K', 'wan', ...features]));
  }
}

async function setMtu(bed: BedPlan, bytes: number): Promise<void> {
  for (const cluster of bed.clusters) {
    await run(['ip', '-n', cluster.edgeNetns, 'link', 'set', 'wan', 'mtu', String(bytes)]);
  }
}

/** ARP does not answer for an address that no link has. Deleting an absent address is no failure. */
async function setSecondAddress(cluster: ClusterPlan, what: 'replace' | 'del'): Promise<void> {
  const address = `${cluster.secondWideAreaAddress}/32`;
  const command = ['ip', '-n', cluster.edgeNetns, 'addr', what, address, 'dev', 'wan'];
  await (what === 'del' ? runAnyway(command) : run(command));
}

async function setUdpTimeouts(cluster: ClusterPlan, seconds: number | undefined): Promise<void> {
  const values = Object.entries(udpTimeouts).map(
    ([key, usual]) => `net.netfilter.${key}=${seconds ?? usual}`,
  );
  await run(inNamespace(cluster.edgeNetns, ['sysctl', '-q', '-w', ...values]));
}
