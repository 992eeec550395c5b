/** The complete API gateway except for sockets and files, which the entries provide. */
import type { Hono } from 'hono';
import type { KubeClient } from '../shared/kube/client.ts';
import { kind } from '../shared/kube/refs.ts';
import type { Log } from '../shared/log.ts';
import { ClusterKey, type RandomBytes } from '../shared/trust/cluster-key.ts';
import { MemoryReplayCache } from '../shared/trust/replay-cache.ts';
import { createGateway } from './http/app.ts';
import { Buckets } from './http/buckets.ts';
import type { Dependencies, GatewayEnvironment } from './http/context.ts';
import { Collection } from './kube/collection.ts';
import { defaultLimits, type GatewayLimits } from './http/limits.ts';
import { createManagement } from './management.ts';
import { Metrics } from './http/metrics.ts';
import { version } from './version.ts';

export interface GatewayServiceOptions {
  kube: KubeClient;
  namespace: string;
  /** Milliseconds since 1970. */
  clock: () => number;
  random: RandomBytes;
  log: Log;
  sourceOf: Dependencies['sourceOf'];
  rootAuthority: Dependencies['rootAuthority'];
  /** Aborted at shutdown, which ends all open streams. */
  stopping: AbortSignal;
  /** What the entry waits for before it is ready, such as its certificate. */
  waitingFor: () => string | undefined;
  limits?: Partial<GatewayLimits>;
}

export interface GatewayService {
  /** For peers, over TLS. */
  app: Hono<GatewayEnvironment>;
  /** For the cluster, plain. */
  management: Hono;
  /** Counts a connection that was closed before it was served. */
  onConnectionRefused: () => void;
  /** Watches what the app looks up, until `stopping`. */
  run: () => Promise<void>;
}

export function createGatewayService(options: GatewayServiceOptions): GatewayService {
  const { kube, namespace, clock, random, log, sourceOf, rootAuthority, stopping } = options;
  const metrics = new Metrics();
  const limits = { ...defaultLimits, ...options.limits };
  const jitter = () => (random(1)[0] ?? 0) / 256;
  const localClusters = new Collection(kube, kind.localCluster, log, jitter);
  const remoteClusters = new Collection(kube, kind.remoteCluster, log, jitter);
  const incomingPeerings = new Collection(kube, kind.incomingPeering, log, jitter);
  const replays = new MemoryReplayCache({
    perCluster: limits.noncesPerCluster,
    clusters: limits.nonceClusters,
  });
  metrics.gauge('hawser_api_info', 'Version of this process.', () => 1, { version });
  metrics.gauge('hawser_api_nonces', 'Remembered nonces of signed requests.', () => replays.size);
  const collections = { localClusters, remoteClusters, incomingPeerings };
  const dependencies: Dependencies = {
    ...collections,
    kube,
    namespace,
    replays,
    signedSince: Math.floor(clock() / 1000) * 1000 - limits.restartSkewMilliseconds,
    nobodysKey: ClusterKey.generate(random).publicKey,
    declarations: new Buckets({
      perSecond: limits.declarationsPerSecond,
      burst: limits.declarationsBurst,
      sources: limits.sources,
    }),
    limits,
    log,
    metrics,
    clock,
    random,
    stopping,
    sourceOf,
    rootAuthority,
  };
  const synced = ({ synced: seen }: { synced: boolean }) =>
    seen ? undefined : 'not read from the API server yet';
  const management = createManagement(
    {
      certificate: options.waitingFor,
      localclusters: () => synced(localClusters),
      remoteclusters: () => synced(remoteClusters),
      incomingpeerings: () => synced(incomingPeerings),
      identity: () =>
        localClusters.get('self')?.status?.clusterID === undefined
          ? 'the controller has not assigned this cluster an ID yet'
          : undefined,
    },
    metrics,
  );
  return {
    app: createGateway(dependencies),
    management,
    onConnectionRefused: () =>
      metrics.count(
        'hawser_api_connections_refused_total',
        'Connections closed because there were too many.',
      ),
    run: async () => {
      await Promise.all(Object.values(collections).map((collection) => collection.run(stopping)));
    },
  };
}
