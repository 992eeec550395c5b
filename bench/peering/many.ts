/** One consumer peers with many providers at once: the time until all are Ready, and how costs grow with their number. */
import { createInformer, kind, type KubeClient } from '../../daemon/kube/index.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { isTrue } from '../../shared/conditions.ts';
import { defaultPeering, nodeName } from '../../shared/names.ts';
import { decodePeeringToken } from '../../shared/trust/token-codec.ts';
import { namespace } from '../../test/support/installation.ts';
import type { Bed, BedCluster } from '../../test/testbed/index.ts';
import { run, sleep } from '../../test/testbed/run.ts';
import {
  clusterProcesses,
  hawserProcesses,
  useBetween,
  usesOf,
  type ProcessRef,
  type ProcessUse,
} from './process-use.ts';
import { connectKube } from '../../daemon/clients/kubernetes/index.ts';
import { loadKubeconfig } from '../../daemon/clients/kubernetes/kubeconfig.ts';

export interface ManyOptions {
  bed: Bed;
  consumer: BedCluster;
  /** One per provider. */
  tokens: readonly string[];
  /** Further processes to measure, besides the consumer's own. */
  others: readonly ProcessRef[];
  /** Duration of the idle measurement; 0 skips it. */
  restSeconds: number;
  deadlineSeconds: number;
}

export interface ManyResult {
  providers: number;
  /** Until the first, half of them, and all were Ready. */
  firstSeconds: number;
  halfSeconds: number;
  readySeconds: number;
  /** Until half and all had passed each phase, by name. */
  phases: Record<string, { half: number; all: number }>;
  /** Requests to the consumer's API server until all were Ready; each watch counts once. */
  requests: number;
  requestsBy: Record<string, number>;
  /** Traffic of the consumer's edge in both directions, until all were Ready. */
  bytes: number;
  processes: (ProcessUse & { processor: number })[];
  rest?: {
    seconds: number;
    requestsPerSecond: number;
    bytesPerSecond: number;
    requestsBy: Record<string, number>;
    processes: (ProcessUse & { processor: number })[];
  };
  /** Restarts of Hawser's containers in the consumer during the measurement. */
  restarts: number;
  /** From the deletion of all peerings until none is left. */
  unpeerSeconds: number;
}

const round = (value: number) => Math.round(value * 1000) / 1000;
const settleMilliseconds = 15_000;

/** Peers with all providers, measures, and unpeers. */
export async function peerWithMany(options: ManyOptions): Promise<ManyResult> {
  const { bed, consumer, tokens, restSeconds } = options;
  const kube = connectKube(
    await loadKubeconfig({ kubeconfig: consumer.kubeconfig, environment: process.env }),
  );
  const stop = new AbortController();
  try {
    const processes = [
      ...(await hawserProcesses(consumer)),
      ...(await clusterProcesses(bed, consumer)),
      ...options.others,
    ];
    const look = async () => ({
      at: performance.now(),
      uses: await usesOf(processes),
      requests: await requestCounts(consumer),
      bytes: await edgeBytes(bed, consumer),
      restarts: await restartsOf(consumer),
    });
    const before = await look();
    const begun = performance.now();
    const seen = await peerings(kube, tokens, options.deadlineSeconds, stop.signal);
    const after = await look();
    const times = [...seen.ready.values()].map((at) => (at - begun) / 1000).sort((a, b) => a - b);
    const count = tokens.length;
    const by = difference(before.requests, after.requests);
    const result: ManyResult = {
      providers: count,
      firstSeconds: round(times[0] ?? 0),
      halfSeconds: round(times[Math.ceil(count / 2) - 1] ?? 0),
      readySeconds: round(times.at(-1) ?? 0),
      phases: phasesOf(seen.objects, seen.begunAt),
      requests: total(by),
      requestsBy: by,
      bytes: after.bytes - before.bytes,
      processes: useBetween(before.uses, after.uses, (after.at - before.at) / 1000),
      restarts: 0,
      unpeerSeconds: 0,
    };

    if (restSeconds > 0) {
      await sleep(settleMilliseconds);
      const first = await look();
      await sleep(restSeconds * 1000);
      const last = await look();
      const seconds = (last.at - first.at) / 1000;
      const resting = difference(first.requests, last.requests);
      result.rest = {
        seconds: round(seconds),
        requestsPerSecond: round(total(resting) / seconds),
        bytesPerSecond: Math.round((last.bytes - first.bytes) / seconds),
        requestsBy: resting,
        processes: useBetween(first.uses, last.uses, seconds),
      };
    }
    result.unpeerSeconds = await unpeerAll(kube, options.deadlineSeconds, stop.signal);
    result.restarts = (await restartsOf(consumer)) - before.restarts;
    return result;
  } finally {
    stop.abort();
    kube.close();
  }
}

/** Creates the objects of `hawser peer` for all providers at once; returns when each was Ready. */
async function peerings(kube: KubeClient, tokens: readonly string[], seconds: number, signal: AbortSignal) {
  const ready = new Map<string, number>();
  const informer = createInformer(kube, kind.outgoingPeering);
  const running = new AbortController();
  signal.addEventListener('abort', () => running.abort());
  void informer.run(running.signal);
  await informer.synced(signal);
  const begunAt = Date.now();
  const allReady = new Promise<void>((resolve) => {
    informer.onChange((key, object) => {
      if (object === undefined || !isTrue(object.status?.conditions, 'Ready')) return;
      if (!ready.has(key)) ready.set(key, performance.now());
      if (ready.size === tokens.length) resolve();
    });
  });
  await Promise.all(tokens.map((token) => writeOne(kube, token, signal)));
  const late = new AbortController();
  await Promise.race([allReady, sleep(seconds * 1000, late.signal).catch(() => undefined)]);
  late.abort();
  const objects = [...informer.list()];
  running.abort();
  if (ready.size < tokens.length) {
    const waiting = objects
      .filter(({ metadata }) => !ready.has(metadata.name))
      .slice(0, 3)
      .map((each) =>
        JSON.stringify([
          each.metadata.name,
          each.status?.conditions?.map(({ type, status, message }) => [type, status, message]),
        ]),
      );
    throw new Error(
      `${tokens.length - ready.size} of ${tokens.length} not Ready after ${seconds} s: ${waiting.join('; ')}`,
    );
  }
  return { ready, objects, begunAt };
}

async function writeOne(kube: KubeClient, token: string, signal: AbortSignal): Promise<void> {
  const { clusterID } = decodePeeringToken(token);
  const secretName = `hawser-token-${clusterID}`;
  await kube.create(
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: secretName, namespace },
      type: 'Opaque',
      data: { token: Buffer.from(token).toString('base64') },
    } as never,
    signal,
  );
  await kube.create<OutgoingPeering>(
    {
      apiVersion,
      kind: 'OutgoingPeering',
      metadata: { name: clusterID },
      spec: {
        remoteCluster: clusterID,
        peering: defaultPeering,
        tokenSecretName: secretName,
        nodeName: nodeName(clusterID, defaultPeering),
        desired: 'Active',
      },
    },
    signal,
  );
}

async function unpeerAll(kube: KubeClient, seconds: number, signal: AbortSignal): Promise<number> {
  const begun = performance.now();
  const { items } = await kube.list(kind.outgoingPeering, {}, signal);
  await Promise.all(
    items.map(({ metadata }) => kube.delete({ kind: kind.outgoingPeering, name: metadata.name }, {}, signal)),
  );
  for (;;) {
    const left = (await kube.list(kind.outgoingPeering, {}, signal)).items;
    if (left.length === 0) return round((performance.now() - begun) / 1000);
    if (performance.now() - begun > seconds * 1000) throw new Error(`${left.length} peerings do not end`);
    await sleep(250);
  }
}

function phasesOf(objects: readonly OutgoingPeering[], begunAt: number): ManyResult['phases'] {
  const times = new Map<string, number[]>();
  for (const { status } of objects)
    for (const { name, at } of status?.phases ?? [])
      times.set(name, [...(times.get(name) ?? []), (Date.parse(at) - begunAt) / 1000]);
  return Object.fromEntries(
    [...times].map(([name, all]) => {
      all.sort((a, b) => a - b);
      return [name, { half: round(all[Math.ceil(all.length / 2) - 1] ?? 0), all: round(all.at(-1) ?? 0) }];
    }),
  );
}

/** Requests that the API server has answered so far, by verb and resource. */
async function requestCounts(cluster: BedCluster): Promise<Record<string, number>> {
  const text = await cluster.kubectl(['get', '--raw', '/metrics']);
  const counts: Record<string, number> = {};
  for (const line of text.split('\n')) {
    if (!line.startsWith('apiserver_request_total{')) continue;
    const label = (name: string) => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? '';
    const subresource = label('subresource');
    const what = `${label('verb')} ${label('resource')}${subresource === '' ? '' : `/${subresource}`}`;
    counts[what] = (counts[what] ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return counts;
}

function difference(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after)
      .map(([name, value]): [string, number] => [name, value - (before[name] ?? 0)])
      .filter(([, value]) => value > 0)
      .sort(([, one], [, other]) => other - one),
  );
}

const total = (counts: Record<string, number>): number =>
  Object.values(counts).reduce((sum, value) => sum + value, 0);

/** Traffic through the edge of a cluster since its creation. */
async function edgeBytes(bed: Bed, cluster: BedCluster): Promise<number> {
  const links = JSON.parse(
    await run([
      'ip',
      '-n',
      bed.plan.wideAreaNetns,
      '-s',
      '-j',
      'link',
      'show',
      'dev',
      cluster.plan.wideAreaPort,
    ]),
  ) as { stats64: { rx: { bytes: number }; tx: { bytes: number } } }[];
  return links.reduce((sum, { stats64 }) => sum + stats64.rx.bytes + stats64.tx.bytes, 0);
}

async function restartsOf(cluster: BedCluster): Promise<number> {
  const path = '{.items[*].status.containerStatuses[*].restartCount}';
  const text = await cluster.kubectl(['get', 'pods', '-n', namespace, '-o', `jsonpath=${path}`]);
  return text.split(/\s+/).reduce((sum, count) => sum + Number(count), 0);
}
