import type { SharesOptions } from './shares.ts';

/** Places for requests: of senders by source, and of known clusters, whose requests find one when their source has none. */
export interface PlaceLimits {
  sources: SharesOptions;
  clusters: SharesOptions;
}

/** Every bound of the gateway in one place. Tests set their own. */
export interface GatewayLimits {
  /** Bytes of a request's body. */
  bodyBytes: number;
  /** From the first byte of a request until its answer; event streams are exempt. */
  requestMilliseconds: number;
  /** Until a body has arrived whole. */
  bodyMilliseconds: number;
  /** How long a redemption waits for the tenant to be ready. */
  tenantMilliseconds: number;
  /** Requests a second that one source may keep up; a known cluster has as many of its own besides. */
  requestsPerSecond: number;
  /** Requests that one source may send at once. */
  burst: number;
  /** Sources with a bucket of their own; all others share one. */
  sources: number;
  /** Bodies that are being read at one time; each takes up to `bodyBytes`. */
  bodies: PlaceLimits;
  /** Requests that are being answered at one time, event streams not counted. */
  requests: PlaceLimits;
  /** Event streams of all clusters, and of one. */
  streams: number;
  streamsPerCluster: number;
  /** A stream is ended after so long, so that its right to be is looked at again. */
  streamMilliseconds: number;
  keepAliveMilliseconds: number;
  /** Refused redemptions are answered at multiples of this, so that the time says nothing of what was wrong. */
  refusalMilliseconds: number;
  /** Nonces remembered per cluster, and clusters with nonces: known ones, and holders of a token. */
  noncesPerCluster: number;
  nonceClusters: number;
  /** How far the clock of a cluster may be behind for its signatures to be taken right after a start of this process. */
  restartSkewMilliseconds: number;
  /** Network documents and other facts that a cluster may declare: a second, and at once. */
  declarationsPerSecond: number;
  declarationsBurst: number;
  /** Objects that a list of tokens shows. */
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
