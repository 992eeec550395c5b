/** What the neighbour of a hostile consumer noticed, and what it may notice at most. Pure. */

export interface Calls {
  calls: number;
  failed: number;
  /** Messages of those that failed, the first twenty. */
  errors: string[];
  /** The longest that one took, milliseconds. */
  worstMilliseconds: number;
}

/** Of one window: datagrams and HTTP requests through the tunnel, requests to the provider's API server and API gateway. */
export interface Noticed {
  datagrams: Calls;
  requests: Calls;
  api: Calls;
  gateway: Calls;
}

/** What the neighbour may notice of one attack at most. Everything shares one machine here, attackers included. */
export const bound = {
  /** Of datagrams. */
  lostShare: 0.01,
  failedRequests: 0,
  failedCalls: 0,
  worstMilliseconds: 5_000,
};

/** What is beyond the bound; empty when nothing is. Pure. */
export function beyondBound(noticed: Noticed): string[] {
  const problems: string[] = [];
  const names = {
    datagrams: 'datagrams',
    requests: 'requests',
    api: 'calls of the API server',
    gateway: 'calls of the API gateway',
  };
  for (const what of ['datagrams', 'requests', 'api', 'gateway'] as const) {
    const { calls, failed, errors, worstMilliseconds } = noticed[what];
    const most =
      what === 'datagrams'
        ? Math.floor(calls * bound.lostShare)
        : what === 'requests'
          ? bound.failedRequests
          : bound.failedCalls;
    if (calls === 0) problems.push(`none of the ${names[what]} was made`);
    if (failed > most) problems.push(`${failed} of ${calls} ${names[what]} failed: ${errors[0] ?? ''}`);
    // A lost datagram has no time of its own.
    if (what !== 'datagrams' && worstMilliseconds > bound.worstMilliseconds)
      problems.push(`one of the ${names[what]} took ${worstMilliseconds} ms`);
  }
  return problems;
}

/** For the table. */
export function noticedText({ datagrams, requests, api, gateway }: Noticed): string {
  const failed = (calls: Calls) => (calls.failed === 0 ? '' : `, ${calls.failed} failed`);
  return [
    `${datagrams.failed}/${datagrams.calls} lost`,
    `HTTP ≤ ${requests.worstMilliseconds} ms${failed(requests)}`,
    `API ≤ ${api.worstMilliseconds} ms${failed(api)}`,
    `gateway ≤ ${gateway.worstMilliseconds} ms${failed(gateway)}`,
  ].join(', ');
}
