/** Memory and CPU of processes, from /proc: a cluster's own programs, and Hawser's in its pods. */
import { readFile, readdir } from 'node:fs/promises';
import type { Bed, BedCluster } from '../../test/testbed/index.ts';
import { readRecord } from '../../test/testbed/state.ts';
import { namespace } from '../../test/support/installation.ts';

export interface ProcessUse {
  what: string;
  residentMiB: number;
  proportionalMiB: number;
  /** Seconds of one core, since the process started. */
  processorSeconds: number;
}

export interface ProcessRef {
  what: string;
  pid: number;
}

/** USER_HZ is 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** Undefined if it has ended. */
export async function useOf({ what, pid }: ProcessRef): Promise<ProcessUse | undefined> {
  const [stat, rollup] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''),
    readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => ''),
  ]);
  if (stat === '') return undefined;
  // The name before these fields may contain anything, even blanks and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const mebibytes = (name: string) =>
    Math.round(Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(rollup)?.[1] ?? 0) / 1024);
  return {
    what,
    residentMiB: mebibytes('Rss'),
    proportionalMiB: mebibytes('Pss'),
    // utime and stime, proc(5)
    processorSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
  };
}

export async function usesOf(refs: readonly ProcessRef[]): Promise<ProcessUse[]> {
  return (await Promise.all(refs.map(useOf))).filter((use) => use !== undefined);
}

interface PodList {
  items: {
    metadata: { labels?: Record<string, string> };
    spec: { nodeName?: string };
    status: { containerStatuses?: { containerID?: string }[] };
  }[];
}

/** Hawser's processes in one cluster, named by their part and node. */
export async function hawserProcesses(cluster: BedCluster): Promise<ProcessRef[]> {
  const { items } = JSON.parse(
    await cluster.kubectl(['get', 'pods', '-n', namespace, '-o', 'json']),
  ) as PodList;
  const containers = items.flatMap(({ spec, status }) =>
    (status.containerStatuses ?? []).flatMap(({ containerID }) => {
      const id = containerID?.split('://')[1];
      return id === undefined ? [] : [{ id, node: spec.nodeName ?? '' }];
    }),
  );
  const found: ProcessRef[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
    const container = containers.find(({ id }) => groups.includes(id));
    if (container === undefined) continue;
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const at = words.indexOf('/hawser/cli/main.js');
    if (at < 0) continue;
    const part = words
      .slice(at + 1)
      .join(' ')
      .trim()
      .replace('daemon --role=', '');
    found.push({ what: part === 'node' ? `node ${container.node}` : part, pid: Number(pid) });
  }
  return found.sort((one, other) => one.what.localeCompare(other.what));
}

/** The programs of a cluster: etcd, API server, kubelets and others. */
export async function clusterProcesses(bed: Bed, cluster: BedCluster): Promise<ProcessRef[]> {
  const prefix = `${cluster.name}.`;
  const found: ProcessRef[] = [];
  for (const name of bed.services().filter((each) => each.startsWith(prefix))) {
    const record = await readRecord(bed.plan, name);
    if (record !== undefined) found.push({ what: name.slice(prefix.length), pid: record.process.pid });
  }
  return found;
}

/** CPU usage between two measurements, in thousandths of a core, and memory at the second one. */
export function useBetween(
  before: readonly ProcessUse[],
  after: readonly ProcessUse[],
  seconds: number,
): (ProcessUse & { processor: number })[] {
  const earlier = new Map(before.map(({ what, processorSeconds }) => [what, processorSeconds]));
  return after.map((use) => {
    const used = use.processorSeconds - (earlier.get(use.what) ?? use.processorSeconds);
    return { ...use, processorSeconds: used, processor: Math.round((used * 10_000) / seconds) / 10 };
  });
}
