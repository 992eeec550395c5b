/** Addresses of this cluster's API gateway and API server, only from their EndpointSlices. Pure. */
import type { EndpointSlice } from '../kube/index.ts';

export interface Target {
  host: string;
  port: number;
}

/** Name in the slices of the port that is spliced. */
const portName = 'https';

/** The ready endpoints; if there are none, those that still serve. */
export function targetsOf(slices: readonly EndpointSlice[]): Target[] {
  const pick = (accepts: (conditions: { ready?: boolean; serving?: boolean }) => boolean): Target[] =>
    slices.flatMap(({ addressType, endpoints, ports }) => {
      // The API server writes null for an empty list.
      const port = (ports ?? []).find(
        ({ name, protocol = 'TCP' }) => name === portName && protocol === 'TCP',
      )?.port;
      if (port === undefined || addressType === 'FQDN') return [];
      return (endpoints ?? [])
        .filter(({ conditions }) => accepts(conditions ?? {}))
        .flatMap(({ addresses }) => addresses.slice(0, 1).map((host) => ({ host, port })));
    });
  // An absent condition means true (EndpointConditions, discovery.k8s.io/v1).
  const ready = pick(({ ready: isReady = true }) => isReady);
  return ready.length > 0 ? ready : pick(({ serving = true }) => serving);
}

/** All endpoints, ready or not: connections to any other address are obsolete. */
export function knownHosts(slices: readonly EndpointSlice[]): Set<string> {
  return new Set(slices.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses)));
}
