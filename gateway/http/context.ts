/** The dependencies of routes, and the results of the middleware for a request. */
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
  /** A key without a known private half, against which signatures of unknown clusters are verified. */
  nobodysKey: string;
  /** Rate limits of known clusters' declarations. */
  declarations: Buckets;
  limits: GatewayLimits;
  log: Log;
  metrics: Metrics;
  /** Milliseconds since 1970. */
  clock: () => number;
  random: RandomBytes;
  /** PEM of this cluster's root CA, as in every ConfigMap kube-root-ca.crt. */
  rootAuthority: () => Promise<string>;
  /** Aborted at shutdown, which closes open streams. */
  stopping: AbortSignal;
  /** The sender's address, for rate limits and the log. */
  sourceOf: (context: GatewayContext) => string;
}

/** A Kubernetes user, from a TokenReview. */
export interface KubernetesUser {
  username: string;
  uid?: string;
  groups?: string[];
  extra?: Record<string, string[]>;
}

export interface Variables {
  requestID: string;
  /** Aborted at the request's deadline, or when its sender disconnects. */
  signal: AbortSignal;
  /** Time of arrival, milliseconds since 1970. */
  startedAt: number;
  /** The complete body; empty if there is none. */
  body: Uint8Array<ArrayBuffer>;
  /** Set for requests that are authenticated by Kubernetes. */
  user: KubernetesUser;
  /** Set for requests that are authenticated by a known cluster key. */
  remote: RemoteCluster;
  /** The authenticated sender, for the log. */
  caller: string;
}

export interface GatewayEnvironment {
  Variables: Variables;
  /** The runtime's bindings: those of `@hono/node-server`, or Deno's ServeHandlerInfo. */
  Bindings: Record<string, unknown>;
}
export type GatewayContext = Context<GatewayEnvironment>;

/** This cluster's own description. Throws a Problem until the controller has written its ID. */
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
