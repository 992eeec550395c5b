/**
 * The way of a packet between two pods, hop by hop, computed from what the cluster's objects say: addresses at each hop, in
 * whose terms, and whether it is let through. Pure.
 */
import type { FabricNode, LentAddress, Tunnel } from '../../shared/api/network.ts';
import { findCondition } from '../../shared/conditions.ts';
import { toMapped, toReal } from '../../shared/net/address-mapping.ts';
import type { World } from '../status-report.ts';

export interface TracedPod {
  /** `namespace/name` */
  name: string;
  node: string;
  /** As this cluster knows it. */
  address: string | undefined;
  phase: string;
}

export interface TraceFacts {
  world: World;
  from: TracedPod;
  to: TracedPod;
  lent: readonly LentAddress[];
}

/** Passes: by what is known. Stops: it certainly ends here. Unknown: that is seen elsewhere only. */
export type HopVerdict = 'Passes' | 'Stops' | 'Unknown';

export interface Hop {
  at: string;
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

/** Which nodes of this cluster the packet passes, for who measures. */
export interface Route {
  hops: Hop[];
  /** Node that asks on behalf of the pod, and the one that holds the tunnel. */
  asker: string | undefined;
  gateway: string | undefined;
  remote: string | undefined;
  /** What is asked: the destination as this cluster knows it. */
  asked: string | undefined;
}

/** A pod's side: here, or at a provider. */
interface Side {
  pod: TracedPod;
  provider: string | undefined;
}

export function traceRoute(facts: TraceFacts): Route {
  const sideOf = (pod: TracedPod): Side => ({
    pod,
    provider: facts.world.outgoing.find(({ spec }) => spec.nodeName === pod.node)?.spec.remoteCluster,
  });
  const [from, to] = [sideOf(facts.from), sideOf(facts.to)];
  const missing = [from, to].find(({ pod }) => pod.address === undefined || pod.node === '');
  if (missing !== undefined) return { ...nowhere, hops: [notRunning(missing.pod)] };
  if (from.provider === undefined && to.provider === undefined) return localRoute(from.pod, to.pod);
  if (from.provider === to.provider) return awayRoute(from.pod, to.pod, from.provider ?? '');
  if (from.provider !== undefined && to.provider !== undefined) return relayedRoute(facts, from, to);
  return tunnelRoute(facts, from, to);
}

const nowhere = { asker: undefined, gateway: undefined, remote: undefined, asked: undefined };
const here = 'this cluster';

function notRunning({ name, phase, node }: TracedPod): Hop {
  return {
    at: `pod ${name}`,
    source: '-',
    destination: '-',
    terms: here,
    verdict: 'Stops',
    why: node === '' ? 'it is not scheduled yet: kubectl describe pod' : `it has no address yet (${phase})`,
  };
}

function localRoute(from: TracedPod, to: TracedPod): Route {
  const addresses = { source: from.address ?? '', destination: to.address ?? '', terms: here };
  const why =
    from.node === to.node
      ? 'both are on one node: the CNI alone delivers'
      : 'both run in this cluster: the CNI alone delivers, no tunnel is passed';
  return {
    ...nowhere,
    asker: from.node,
    asked: to.address,
    hops: [
      { at: `pod ${from.name} on node ${from.node}`, ...addresses, verdict: 'Passes', why },
      {
        at: `pod ${to.name} on node ${to.node}`,
        ...addresses,
        verdict: 'Unknown',
        why: 'it is the CNI’s to deliver',
      },
    ],
  };
}

function awayRoute(from: TracedPod, to: TracedPod, provider: string): Route {
  const addresses = { source: from.address ?? '', destination: to.address ?? '', terms: here };
  return {
    ...nowhere,
    hops: [
      {
        at: `pods ${from.name} and ${to.name} at ${provider}`,
        ...addresses,
        verdict: 'Unknown',
        why: `both run at ${provider}: packets between them never leave it, and its CNI delivers`,
      },
    ],
  };
}

/** Between a pod here and one at a provider; either may be the one that sends. */
function tunnelRoute(facts: TraceFacts, from: Side, to: Side): Route {
  const outwards = to.provider !== undefined;
  const remote = to.provider ?? from.provider ?? '';
  const local = outwards ? from.pod : to.pod;
  const away = outwards ? to.pod : from.pod;
  const { world } = facts;
  const tunnel = world.tunnels.find(({ spec }) => spec.remoteCluster === remote);
  const gateway = gatewayOf(world.fabricNodes, tunnel);
  const names = namesOf(tunnel, local.address ?? '', away.address ?? '');
  const pair = (localName: string, awayName: string) =>
    outwards ? { source: localName, destination: awayName } : { source: awayName, destination: localName };
  const inHere = { ...pair(local.address ?? '', away.address ?? ''), terms: here };
  const onWire = { ...pair(local.address ?? '', names.away ?? '?'), terms: 'the wire (real addresses)' };
  const there = { ...pair(names.local ?? '?', names.away ?? '?'), terms: remote };
  const hops: Hop[] = [
    { at: `pod ${local.name}`, ...inHere, verdict: 'Passes', why: `it runs on node ${local.node}` },
    nodeHop(world.fabricNodes, local.node, inHere),
    ...(gateway === undefined || gateway !== local.node
      ? [gatewayHop(world.fabricNodes, gateway, tunnel, inHere)]
      : []),
    admissionHop(tunnel, gateway, names.away, onWire),
    sessionHop(tunnel, onWire),
    {
      at: `gateway of ${remote}`,
      ...there,
      verdict: names.local === undefined ? 'Unknown' : 'Passes',
      why:
        names.local === undefined
          ? `${remote} has not told yet by which address it knows ${local.address}`
          : `it admits its pods that run for this cluster with this cluster’s pods, and knows ${local.address} as ${names.local}`,
    },
    {
      at: `pod ${away.name} at ${remote}`,
      ...there,
      verdict: 'Unknown',
      why: 'which node holds it is the provider’s to know; its CNI and network policies decide',
    },
  ];
  return {
    hops: outwards ? hops : hops.toReversed(),
    asker: local.node,
    gateway,
    remote,
    asked: outwards ? away.address : undefined,
  };
}

/** Between pods at two providers: by way of this cluster, each under an address that this one lends. */
function relayedRoute(facts: TraceFacts, from: Side, to: Side): Route {
  const { world, lent } = facts;
  const lentOf = (pod: TracedPod) => lent.find(({ spec }) => spec.target === pod.address)?.spec.address;
  const [lentFrom, lentTo] = [lentOf(from.pod), lentOf(to.pod)];
  const tunnelTo = (id: string | undefined) => world.tunnels.find(({ spec }) => spec.remoteCluster === id);
  const [first, second] = [tunnelTo(from.provider), tunnelTo(to.provider)];
  const known = (tunnel: Tunnel | undefined, address: string | undefined) =>
    (address === undefined ? undefined : toMapped(tunnel?.spec.remoteRemaps ?? [], address)) ?? '?';
  const gateway = gatewayOf(world.fabricNodes, first);
  const atFirst = {
    source: toReal(first?.spec.remaps ?? [], from.pod.address ?? '') ?? '?',
    destination: known(first, lentTo),
    terms: from.provider ?? '',
  };
  const atHome = { source: lentFrom ?? '?', destination: to.pod.address ?? '?', terms: here };
  const atSecond = {
    source: known(second, lentFrom),
    destination: toReal(second?.spec.remaps ?? [], to.pod.address ?? '') ?? '?',
    terms: to.provider ?? '',
  };
  const lends: HopVerdict = lentFrom !== undefined && lentTo !== undefined ? 'Passes' : 'Stops';
  return {
    ...nowhere,
    gateway,
    hops: [
      {
        at: `pod ${from.pod.name} at ${from.provider}`,
        ...atFirst,
        verdict: 'Unknown',
        why: 'it is the provider’s to deliver to its gateway',
      },
      sessionHop(first, atFirst),
      {
        at: `gateway node ${gateway ?? '(none)'}`,
        ...atHome,
        verdict: lends,
        why:
          lends === 'Passes'
            ? `both have lent addresses (${lentFrom}, ${lentTo}), by which the providers know them`
            : 'pods of two providers reach each other by lent addresses, and one has none: both must be ready pods of one offloaded namespace',
      },
      sessionHop(second, atSecond),
      {
        at: `pod ${to.pod.name} at ${to.provider}`,
        ...atSecond,
        verdict: 'Unknown',
        why: 'its node, CNI and network policies are the provider’s',
      },
    ],
  };
}

function namesOf(tunnel: Tunnel | undefined, local: string, away: string) {
  return {
    /** The pod there by its real address; the pod here as the provider knows it. */
    away: tunnel && toReal(tunnel.spec.remaps, away),
    local: tunnel && toMapped(tunnel.spec.remoteRemaps, local),
  };
}

function gatewayOf(nodes: readonly FabricNode[], tunnel: Tunnel | undefined): string | undefined {
  const reported = tunnel?.status?.gatewayNode;
  if (reported !== undefined) return reported;
  return nodes.find(({ spec, status }) => spec.slot !== undefined && status?.heldSlot === spec.slot)?.metadata
    .name;
}

type Addresses = Pick<Hop, 'source' | 'destination' | 'terms'>;

function nodeHop(nodes: readonly FabricNode[], name: string, addresses: Addresses): Hop {
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
    why: 'its route table sends remote ranges into the tunnel device',
  };
}

function gatewayHop(
  nodes: readonly FabricNode[],
  gateway: string | undefined,
  tunnel: Tunnel | undefined,
  addresses: Addresses,
): Hop {
  if (gateway === undefined)
    return {
      at: 'gateway node',
      ...addresses,
      verdict: 'Stops',
      why:
        findCondition(tunnel?.status?.conditions, 'Established')?.message ?? 'no node holds a gateway slot',
    };
  const hop = nodeHop(nodes, gateway, addresses);
  return {
    ...hop,
    at: `gateway node ${gateway}`,
    ...(hop.verdict === 'Passes' && { why: 'the packet comes sealed from the node, and is opened here' }),
  };
}

function admissionHop(
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

function sessionHop(tunnel: Tunnel | undefined, addresses: Addresses): Hop {
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
    why: `sealed to ${tunnel.status?.endpoint ?? 'its endpoint'}; ${path.message}`,
    ...(rtt !== undefined && { measured: `path probe answered in ${rtt.toFixed(1)} ms` }),
  };
}
