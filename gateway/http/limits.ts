import type { SharesOptions } from './shares.ts';

/** Places for requests: of senders by source, and of known clusters, whose requests find one when their source has none. */
export interface PlaceLimits {
  sources: SharesOptions;
  clusters: SharesOptions;
}

/** All limits of the API gateway. Tests set their own. */
export interface GatewayLimits {
  /** Maximum bytes of a request's body. */
  bodyBytes: number;
  /** Deadline from a request's first byte to its answer; event streams are exempt. */
  requestMilliseconds: number;
  /** Deadline for receiving a body. */
  bodyMilliseconds: number;
  /** How long a redemption waits until the tenant is ready. */
  tenantMilliseconds: number;
  /** Sustained requests per second of a source; a known cluster has the same rate in addition. */
  requestsPerSecond: number;
  /** Burst of requests of a source. */
  burst: number;
  /** Maximum number of sources with their own bucket; all others share one. */
  sources: number;
  /** Maximum number of bodies being read concurrently; each takes up to `bodyBytes`. */
  bodies: PlaceLimits;
  /** Maximum number of concurrent requests, without event streams. */
  requests: PlaceLimits;
  /** Maximum number of event streams: of all clusters, and of one. */
  streams: number;
  streamsPerCluster: number;
  /** Maximum duration of a stream, after which the client must authenticate again. */
  streamMilliseconds: number;
  keepAliveMilliseconds: number;
  /** Refused redemptions are answered at multiples of this, so that the timing does not reveal the reason. */
  refusalMilliseconds: number;
  /** Nonces remembered per cluster, and clusters with nonces: known ones, and holders of a token. */
  noncesPerCluster: number;
  nonceClusters: number;
  /** Maximum delay of a cluster's clock for its signatures to be accepted right after a start of this process. */
  restartSkewMilliseconds: number;
  /** Rate (per second) and burst of a cluster's network documents and other declarations. */
  declarationsPerSecond: number;
  declarationsBurst: number;
  /** Maximum number of tokens in a list. */
  listedTokens: number;
}

export const defaultLimits: GatewayLimits = {
  bodyBytes: 64 * 1024,
  requestMilliseconds: 25_000,
  bodyMilliseconds: 10_000,
  tenantMilliseconds: 15_000,
  requestsPerSecond: 20,
  burst: 200,
  sources: 10_000,
  bodies: { sources: { most: 512, perHolder: 64 }, clusters: { most: 256, perHolder: 8 } },
  requests: { sources: { most: 256, perHolder: 128 }, clusters: { most: 256, perHolder: 16 } },
  streams: 512,
  streamsPerCluster: 16,
  streamMilliseconds: 60 * 60 * 1000,
  keepAliveMilliseconds: 15_000,
  refusalMilliseconds: 250,
  restartSkewMilliseconds: 5_000,
  noncesPerCluster: 2_000,
  nonceClusters: 2_000,
  declarationsPerSecond: 0.2,
  declarationsBurst: 20,
  listedTokens: 500,
};
