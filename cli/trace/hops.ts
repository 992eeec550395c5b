/** The hops of a packet's way that are alike on every way, and what this cluster's objects say of them. Pure. */
import type { FabricNode, Tunnel } from '../../shared/api/network.ts';
import { findCondition } from '../../shared/conditions.ts';

/** Passes: by what is known. Stops: it certainly ends here. Unknown: that is seen elsewhere only. */
export type HopVerdict = 'Passes' | 'Stops' | 'Unknown';

export interface Hop {
  at: string;
  /** The remote on the way to which it lies, where a packet passes two. */
  remote?: string;
  source: string;
  destination: string;
  /** By whose names the two addresses are written. */
  terms: string;
  verdict: HopVerdict;
  /** Why: a sentence. */
  why: string;
  /** What was seen of it on the wire; absent: it is computed alone. */
  measured?: string;
}

/** The node that holds this cluster's end of the tunnel. */
export function gatewayOf(nodes: readonly FabricNode[], tunnel: Tunnel | undefined): string | undefined {
  const reported = tunnel?.status?.gatewayNode;
  if (reported !== undefined) return reported;
  return nodes.find(
    ({ spec, status }) => spec.tunnelEndpoint !== undefined && status?.heldEndpoint === spec.tunnelEndpoint,
  )?.metadata.name;
}

export type Addresses = Pick<Hop, 'source' | 'destination' | 'terms'>;

/** @param outwards whether the packet leaves this cluster */
export function nodeHop(
  nodes: readonly FabricNode[],
  name: string,
  addresses: Addresses,
  outwards: boolean,
): Hop {
  const node = nodes.find(({ metadata }) => metadata.name === name);
  const programmed = findCondition(node?.status?.conditions, 'Programmed');
  const blocking = node?.status?.hostProblems?.find(({ reason }) => reason !== 'ReversePathFilter');
  const at = `node ${name}`;
  if (programmed?.status !== 'True')
    return {
      at,
      ...addresses,
      verdict: 'Stops',
      why: programmed?.message ?? 'its node daemon has reported nothing',
    };
  if (blocking !== undefined) return { at, ...addresses, verdict: 'Unknown', why: blocking.message };
  return {
    at,
    ...addresses,
    verdict: 'Passes',
    why: outwards
      ? 'its route table sends remote ranges into the tunnel device'
      : 'it opens what is sealed to it, and its kernel delivers to the pod',
  };
}

export function gatewayHop(
  nodes: readonly FabricNode[],
  gateway: string | undefined,
  tunnel: Tunnel | undefined,
  addresses: Addresses,
  outwards: boolean,
): Hop {
  if (gateway === undefined)
    return {
      at: 'gateway node',
      ...addresses,
      verdict: 'Stops',
      why:
        findCondition(tunnel?.status?.conditions, 'Established')?.message ??
        'no node holds a tunnel endpoint',
    };
  const hop = nodeHop(nodes, gateway, addresses, outwards);
  return {
    ...hop,
    at: `gateway node ${gateway}`,
    ...(hop.verdict === 'Passes' && {
      why: outwards
        ? 'the packet comes sealed from the node, and is opened here'
        : 'it holds the tunnel, and seals the packet to the node that holds the pod',
    }),
  };
}

export function admissionHop(
  tunnel: Tunnel | undefined,
  gateway: string | undefined,
  real: string | undefined,
  addresses: Addresses,
): Hop {
  const at = `translation and admission at ${gateway ?? 'the gateway node'}`;
  if (tunnel === undefined)
    return { at, ...addresses, verdict: 'Stops', why: 'there is no tunnel to that cluster' };
  if (real === undefined)
    return {
      at,
      ...addresses,
      verdict: 'Stops',
      why: `the pod’s address lies in no remapped range of ${tunnel.spec.remoteCluster}: ${tunnel.spec.remaps.map(({ mapped }) => mapped).join(', ')}`,
    };
  if (!tunnel.spec.consumer && tunnel.spec.open !== true)
    return {
      at,
      ...addresses,
      verdict: 'Stops',
      why: 'the tunnel carries this cluster’s own offloaded pods only where it is a consumer',
    };
  return {
    at,
    ...addresses,
    verdict: 'Passes',
    why: tunnel.spec.open
      ? 'admitted: the declared ranges of both are open to each other'
      : 'admitted: a pod of this cluster with one of its own that runs there',
  };
}

export function sessionHop(tunnel: Tunnel | undefined, addresses: Addresses, outwards: boolean): Hop {
  const at = `tunnel to ${tunnel?.spec.remoteCluster ?? 'it'}`;
  const established = findCondition(tunnel?.status?.conditions, 'Established');
  const path = findCondition(tunnel?.status?.conditions, 'PathVerified');
  if (tunnel === undefined) return { at, ...addresses, verdict: 'Stops', why: 'there is none' };
  if (established?.status !== 'True')
    return { at, ...addresses, verdict: 'Stops', why: established?.message ?? 'no session yet' };
  if (path?.status !== 'True')
    return { at, ...addresses, verdict: 'Unknown', why: path?.message ?? 'no probe has come back yet' };
  const rtt = tunnel.status?.roundTripMilliseconds;
  return {
    at,
    ...addresses,
    verdict: 'Passes',
    why: `${outwards ? 'sealed to' : 'opened, as it comes from'} ${tunnel.status?.endpoint ?? 'its endpoint'}; ${path.message}`,
    ...(rtt !== undefined && { measured: `path probe answered in ${rtt.toFixed(1)} ms` }),
  };
}
