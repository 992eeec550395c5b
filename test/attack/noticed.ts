/** The effects on the neighbour of a hostile consumer, and their maximum. Pure. */

export interface Calls {
  calls: number;
  failed: number;
  /** Messages of failures, at most twenty. */
  errors: string[];
  /** The longest duration, milliseconds. */
  worstMilliseconds: number;
}

/** One window: datagrams and HTTP requests through the tunnel, requests to the provider's API server and API gateway. */
export interface Noticed {
  datagrams: Calls;
  requests: Calls;
  api: Calls;
  gateway: Calls;
}

/** The maximal effect of one attack on the neighbour. Everything shares one machine here, including attackers. */
export const bound = {
  /** Share of lost datagrams. */
  lostShare: 0.01,
  failedRequests: 0,
  failedCalls: 0,
  worstMilliseconds: 5_000,
};

/** The effects beyond the bound; empty if there are none. Pure. */
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
    // A lost datagram has no duration.
    if (what !== 'datagrams' && worstMilliseconds > bound.worstMilliseconds)
      problems.push(`one of the ${names[what]} took ${worstMilliseconds} ms`);
  }
  return problems;
}

/** The text for the table. */
export function noticedText({ datagrams, requests, api, gateway }: Noticed): string {
  const failed = (calls: Calls) => (calls.failed === 0 ? '' : `, ${calls.failed} failed`);
  return [
    `${datagrams.failed}/${datagrams.calls} lost`,
    `HTTP ≤ ${requests.worstMilliseconds} ms${failed(requests)}`,
    `API ≤ ${api.worstMilliseconds} ms${failed(api)}`,
    `gateway ≤ ${gateway.worstMilliseconds} ms${failed(gateway)}`,
  ].join(', ');
}
