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
  /** Requests that are being answered at one time, event streams not counted. */
  concurrentRequests: number;
  /** Event streams of all clusters, and of one. */
  streams: number;
  streamsPerCluster: number;
  /** A stream is ended after so long, so that its right to be is looked at again. */
  streamMilliseconds: number;
  keepAliveMilliseconds: number;
  /** Refused redemptions are answered at multiples of this, so that the time says nothing of what was wrong. */
  refusalMilliseconds: number;
  /** Nonces remembered per key, and keys. */
  noncesPerKey: number;
  nonceKeys: number;
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
  concurrentRequests: 256,
  streams: 512,
  streamsPerCluster: 16,
  streamMilliseconds: 60 * 60 * 1000,
  keepAliveMilliseconds: 15_000,
  refusalMilliseconds: 250,
  noncesPerKey: 2_000,
  nonceKeys: 2_000,
  listedTokens: 500,
};
