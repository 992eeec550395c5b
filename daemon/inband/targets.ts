/** Where gateway and API server of this cluster are: what their EndpointSlices say, and nothing else. Pure. */
import type { EndpointSlice } from '../kube/index.ts';

export interface Target {
  host: string;
  port: number;
}

/** The one port of both that is spliced, by its name in the slices. */
const portName = 'https';

/** Those that are ready; if none is, those that still serve. */
export function targetsOf(slices: readonly EndpointSlice[]): Target[] {
  const pick = (accepts: (conditions: { ready?: boolean; serving?: boolean }) => boolean): Target[] =>
    slices.flatMap(({ addressType, endpoints, ports }) => {
      // The API server writes null where there is nothing.
      const port = (ports ?? []).find(
        ({ name, protocol = 'TCP' }) => name === portName && protocol === 'TCP',
      )?.port;
      if (port === undefined || addressType === 'FQDN') return [];
      return (endpoints ?? [])
        .filter(({ conditions }) => accepts(conditions ?? {}))
        .flatMap(({ addresses }) => addresses.slice(0, 1).map((host) => ({ host, port })));
    });
  // An absent condition is to be taken for true (EndpointConditions, discovery.k8s.io/v1).
  const ready = pick(({ ready: isReady = true }) => isReady);
  return ready.length > 0 ? ready : pick(({ serving = true }) => serving);
}

/** All that are named at all: connections to others lead nowhere any more. */
export function knownHosts(slices: readonly EndpointSlice[]): Set<string> {
  return new Set(slices.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses)));
}
