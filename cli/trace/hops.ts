/** The hops that all paths share, and their state by this cluster's objects. Pure. */
import type { FabricNode, Tunnel } from '../../shared/api/network.ts';
import { findCondition } from '../../shared/conditions.ts';

/** Passes: as far as known. Stops: the packet is certainly dropped. Unknown: this cluster cannot tell. */
export type HopVerdict = 'Passes' | 'Stops' | 'Unknown';

export interface Hop {
  at: string;
  /** The remote that the hop leads to, where a path crosses two tunnels. */
  remote?: string;
  source: string;
  destination: string;
  /** The address space of the two addresses. */
  terms: string;
  verdict: HopVerdict;
  /** Why: a sentence. */
  why: string;
  /** What was measured at the hop; absent: it is only computed. */
  measured?: string;
}

/** The node that holds this cluster's end of the tunnel. */
export function gatewayOf(nodes: readonly FabricNode[], tunnel: Tunnel | undefined): string | undefined {
  const reported = tunnel?.status?.gatewayNode;
  if (reported !== undefined) return reported;
  return nodes.find(
    ({ spec, status }) =>
      spec.tunnelEndpoint !== undefined && status?.heldTunnelEndpoint === spec.tunnelEndpoint,
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
      why: programmed?.message ?? 'its node daemon has not reported yet',
    };
  if (blocking !== undefined) return { at, ...addresses, verdict: 'Unknown', why: blocking.message };
  return {
    at,
    ...addresses,
    verdict: 'Passes',
    why: outwards
      ? 'its route table routes remote ranges to the tunnel device'
      : 'it decrypts the packet, and its kernel delivers it to the pod',
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
        ? 'it decrypts the packet that the node encrypted'
        : 'it holds the tunnel, and encrypts the packet for the node of the pod',
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
    return { at, ...addresses, verdict: 'Stops', why: 'no tunnel to that cluster exists' };
  if (real === undefined)
    return {
      at,
      ...addresses,
      verdict: 'Stops',
      why: `the pod’s address is outside the remapped ranges of ${tunnel.spec.remoteCluster}: ${tunnel.spec.remaps.map(({ mapped }) => mapped).join(', ')}`,
    };
  if (!tunnel.spec.consumer && tunnel.spec.dataPath !== 'Open')
    return {
      at,
      ...addresses,
      verdict: 'Stops',
      why: 'this cluster is not a consumer of that cluster, so none of its pods there are admitted',
    };
  return {
    at,
    ...addresses,
    verdict: 'Passes',
    why:
      tunnel.spec.dataPath === 'Open'
        ? 'admitted: the data path between the declared ranges is open'
        : 'admitted: between a pod of this cluster and an offloaded pod of this cluster',
  };
}

export function sessionHop(tunnel: Tunnel | undefined, addresses: Addresses, outwards: boolean): Hop {
  const at = `tunnel to ${tunnel?.spec.remoteCluster ?? 'the remote'}`;
  const established = findCondition(tunnel?.status?.conditions, 'Established');
  const path = findCondition(tunnel?.status?.conditions, 'PathVerified');
  if (tunnel === undefined) return { at, ...addresses, verdict: 'Stops', why: 'no tunnel exists' };
  if (established?.status !== 'True')
    return { at, ...addresses, verdict: 'Stops', why: established?.message ?? 'no WireGuard session yet' };
  if (path?.status !== 'True')
    return {
      at,
      ...addresses,
      verdict: 'Unknown',
      why: path?.message ?? 'no path probe has been answered yet',
    };
  const rtt = tunnel.status?.roundTripMilliseconds;
  return {
    at,
    ...addresses,
    verdict: 'Passes',
    why: `${outwards ? 'encrypted, sent to' : 'decrypted, received from'} ${tunnel.status?.endpoint ?? 'its endpoint'}; ${path.message}`,
    ...(rtt !== undefined && { measured: `path probe answered in ${rtt.toFixed(1)} ms` }),
  };
}
