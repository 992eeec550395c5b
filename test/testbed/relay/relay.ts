/**
 * Puts a relay in user space into one cluster's link to the wide area, and takes it out again:
 *
 *   edge ── c1 ── bridge c1-near ── tap c1-a ═ socat ═ relay ═ socat ═ tap c1-b ── bridge wan
 */
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inNamespace } from '../places.ts';
import type { BedPlan, ClusterPlan } from '../plan.ts';
import { isAlive, stopProcesses } from '../processes.ts';
import { run, waitFor } from '../run.ts';
import { ensureService } from '../services.ts';
import type { BedService } from '../services.ts';
import { readRecord, removeRecord } from '../state.ts';
import type { Impairment } from './link.ts';

/** On the loopback of the wide area's namespace, where no other program listens; four for each cluster. */
const firstPort = 20000;

interface Names {
  bridge: string;
  near: string;
  far: string;
  file: string;
  services: BedService[];
}

function namesOf(bed: BedPlan, cluster: ClusterPlan): Names {
  const port = cluster.wideAreaPort;
  const base = firstPort + 4 * bed.clusters.indexOf(cluster);
  const names = { bridge: `${port}-near`, near: `${port}-a`, far: `${port}-b` };
  const file = join(cluster.directory, 'impairment.json');
  const service = (name: string, command: string[]): BedService => ({
    name: `${cluster.name}.relay${name}`,
    command: inNamespace(bed.wideAreaNetns, command),
    logFile: join(cluster.directory, 'relay.log'),
  });
  const tap = (device: string, own: number, relay: number) => [
    'socat',
    `TUN,tun-type=tap,tun-name=${device},iff-no-pi,iff-up`,
    `UDP4-DATAGRAM:127.0.0.1:${relay},bind=127.0.0.1:${own},so-rcvbuf=4194304`,
  ];
  const relay = [process.execPath, join(import.meta.dirname, 'main.ts')];
  return {
    ...names,
    file,
    services: [
      service('', [...relay, ...[base, base + 1, base + 2, base + 3].map(String), file]),
      service('-near', tap(names.near, base, base + 2)),
      service('-far', tap(names.far, base + 1, base + 3)),
    ],
  };
}

/** Starts the relay, or reconfigures a running one. */
export async function startRelay(bed: BedPlan, cluster: ClusterPlan, impairment: Impairment): Promise<void> {
  const names = namesOf(bed, cluster);
  const wan = bed.wideAreaNetns;
  const running = existsSync(names.file);
  await writeFile(names.file, JSON.stringify(impairment));
  for (const service of names.services) await ensureService(bed, service);
  if (running) {
    const relay = await readRecord(bed, names.services[0]?.name ?? '');
    if (relay !== undefined && isAlive(relay.process)) process.kill(relay.process.pid, 'SIGHUP');
    return;
  }
  await waitFor(
    `the relay of ${cluster.name}`,
    async () => {
      for (const device of [names.near, names.far])
        await run(['ip', '-n', wan, 'link', 'show', 'dev', device]);
      return (await run(inNamespace(wan, ['ss', '-Hlun']))).split('127.0.0.1:200').length > 4;
    },
    { timeoutMilliseconds: 10_000, intervalMilliseconds: 50 },
  );
  await run(['ip', '-n', wan, '-batch', '-'], {
    input: [
      `link add ${names.bridge} type bridge`,
      `link set ${names.bridge} up`,
      `link set ${names.near} master ${names.bridge}`,
      `link set ${names.far} master wan`,
      `link set ${cluster.wideAreaPort} master ${names.bridge}`,
      '',
    ].join('\n'),
  });
}

/** No error if there is no relay. */
export async function stopRelay(bed: BedPlan, cluster: ClusterPlan): Promise<void> {
  const names = namesOf(bed, cluster);
  if (!existsSync(names.file)) return;
  const wan = bed.wideAreaNetns;
  await run(['ip', '-n', wan, 'link', 'set', cluster.wideAreaPort, 'master', 'wan']);
  for (const service of names.services) {
    const record = await readRecord(bed, service.name);
    if (record !== undefined) await stopProcesses([record.process], 500);
    await removeRecord(bed, service.name);
  }
  await run(['ip', '-n', wan, 'link', 'del', names.bridge]).catch(() => undefined);
  await rm(names.file, { force: true });
}
