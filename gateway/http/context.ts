/** What the routes are given: the world they may touch, and what the middleware found out about a request. */
import type { Context } from 'hono';
import type { LocalCluster, RemoteCluster } from '../../shared/api/clusters.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { Problem } from '../../shared/errors.ts';
import type { RandomBytes } from '../../shared/trust/cluster-key.ts';
import type { ReplayCache } from '../../shared/trust/http-signatures.ts';
import type { KubeClient } from '../../shared/kube/client.ts';
import type { Collection } from '../kube/collection.ts';
import type { Buckets } from './buckets.ts';
import type { GatewayLimits } from './limits.ts';
import type { Log } from '../../shared/log.ts';
import type { Metrics } from './metrics.ts';

export interface Dependencies {
  kube: KubeClient;
  /** Hawser's own namespace. */
  namespace: string;
  localClusters: Collection<LocalCluster>;
  remoteClusters: Collection<RemoteCluster>;
  incomingPeerings: Collection<IncomingPeering>;
  replays: ReplayCache;
  /** Signatures from before are refused, milliseconds since 1970: `replays` knows none of them. */
  signedSince: number;
  /** A key whose private half nobody has: signatures of unknown clusters are held against it. */
  nobodysKey: string;
  /** What each known cluster may declare. */
  declarations: Buckets;
  limits: GatewayLimits;
  log: Log;
  metrics: Metrics;
  /** Milliseconds since 1970. */
  clock: () => number;
  random: RandomBytes;
  /** PEM of this cluster's root authority, as in every ConfigMap kube-root-ca.crt. */
  rootAuthority: () => Promise<string>;
  /** Aborted when the process ends: what is open closes. */
  stopping: AbortSignal;
  /** The address of whoever sent a request, for its rate limit and the log. */
  sourceOf: (context: GatewayContext) => string;
}

/** A Kubernetes user, as TokenReview tells. */
export interface KubernetesUser {
  username: string;
  uid?: string;
  groups?: string[];
  extra?: Record<string, string[]>;
}

export interface Variables {
  requestID: string;
  /** Ends with the request: its deadline, or its sender going away. */
  signal: AbortSignal;
  /** When it came, milliseconds since 1970. */
  startedAt: number;
  /** The body, whole; empty when there is none. */
  body: Uint8Array<ArrayBuffer>;
  /** Of requests that are authenticated by Kubernetes. */
  user: KubernetesUser;
  /** Of requests that are authenticated by a cluster key that this cluster knows. */
  remote: RemoteCluster;
  /** For the log: who sent a request that was authenticated. */
  caller: string;
}

export interface GatewayEnvironment {
  Variables: Variables;
  /** What the runtime gives beside the request: `@hono/node-server`'s bindings, or Deno's ServeHandlerInfo. */
  Bindings: Record<string, unknown>;
}
export type GatewayContext = Context<GatewayEnvironment>;

/** This cluster as others see it. Throws a Problem while the controller hasn't said who it is. */
export function self(dependencies: Dependencies): {
  clusterID: string;
  publicKey: string;
  object: LocalCluster;
} {
  const object = dependencies.localClusters.get('self');
  const { clusterID, publicKey } = object?.status ?? {};
  if (object === undefined || clusterID === undefined || publicKey === undefined)
    throw new Problem(
      'not-ready',
      'This cluster has no ID and key yet: its controller creates them at its first start (kubectl get localcluster self).',
      { retryAfterSeconds: 2 },
    );
  return { clusterID, publicKey, object };
}
