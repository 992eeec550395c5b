/**
 * The path of a packet between two pods, hop by hop, computed from the cluster's objects: the addresses at each hop, their
 * address space, and whether the packet is admitted. Pure.
 */
import type { AddressMapping, Tunnel } from '../../shared/api/network.ts';
import { toMapped, toReal } from '../../shared/net/address-mapping.ts';
import type { ClusterObjects } from '../status-report.ts';
import {
  admissionHop,
  gatewayHop,
  gatewayOf,
  nodeHop,
  sessionHop,
  type Addresses,
  type Hop,
  type HopVerdict,
} from './hops.ts';

export interface TracedPod {
  /** `namespace/name` */
  name: string;
  node: string;
  /** In this cluster's address space. */
  address: string | undefined;
  phase: string;
}

export interface TraceFacts {
  objects: ClusterObjects;
  from: TracedPod;
  to: TracedPod;
  mappings: readonly AddressMapping[];
}

/** A probe that a node of this cluster sends, so that packets take the traced path in one direction or the other. */
export interface ProbeRequest {
  prober: string;
  /** In this cluster's address space. */
  target: string;
  /** The cluster at the other end of the tunnel; absent: the address is in this cluster. */
  remote?: string;
  /** The name of the hop that replies. */
  repliesAt: string;
}

export interface Route {
  hops: Hop[];
  /** The node that holds the tunnel. */
  gateway: string | undefined;
  probes: ProbeRequest[];
}

/** A pod with its provider; undefined: it runs in this cluster. */
interface Side {
  pod: TracedPod;
  provider: string | undefined;
}

export function traceRoute(facts: TraceFacts): Route {
  const sideOf = (pod: TracedPod): Side => ({
    pod,
    provider: facts.objects.outgoing.find(({ spec }) => spec.nodeName === pod.node)?.spec.remoteCluster,
  });
  const [from, to] = [sideOf(facts.from), sideOf(facts.to)];
  const missing = [from, to].find(({ pod }) => pod.address === undefined || pod.node === '');
  if (missing !== undefined) return { ...nowhere, hops: [notRunning(missing.pod)] };
  if (from.provider === undefined && to.provider === undefined) return localRoute(from.pod, to.pod);
  if (from.provider === to.provider) return awayRoute(from.pod, to.pod, from.provider ?? '');
  if (from.provider !== undefined && to.provider !== undefined) return relayedRoute(facts, from, to);
  return tunnelRoute(facts, from, to);
}

const nowhere = { gateway: undefined, probes: [] };
const here = 'this cluster';

function notRunning({ name, phase, node }: TracedPod): Hop {
  return {
    at: `pod ${name}`,
    source: '-',
    destination: '-',
    terms: here,
    verdict: 'Stops',
    why:
      node === ''
        ? 'the pod is not scheduled yet; for the reason: kubectl describe pod'
        : `the pod has no address yet (phase ${phase})`,
  };
}

function localRoute(from: TracedPod, to: TracedPod): Route {
  const addresses = { source: from.address ?? '', destination: to.address ?? '', terms: here };
  const why =
    from.node === to.node
      ? 'both pods run on one node; only the CNI is involved'
      : 'both pods run in this cluster; only the CNI is involved, and no tunnel';
  const end = `pod ${to.name} on node ${to.node}`;
  return {
    gateway: undefined,
    probes: [{ prober: from.node, target: to.address ?? '', repliesAt: end }],
    hops: [
      { at: `pod ${from.name} on node ${from.node}`, ...addresses, verdict: 'Passes', why },
      {
        at: end,
        ...addresses,
        verdict: 'Unknown',
        why: 'the CNI delivers the packet',
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
        why: `both pods run at ${provider}; packets between them do not leave it, and its CNI delivers them`,
      },
    ],
  };
}

/** Between a pod in this cluster and one at a provider, in either direction. */
function tunnelRoute(facts: TraceFacts, from: Side, to: Side): Route {
  const outwards = to.provider !== undefined;
  const remote = to.provider ?? from.provider ?? '';
  const local = outwards ? from.pod : to.pod;
  const away = outwards ? to.pod : from.pod;
  const { objects } = facts;
  const tunnel = objects.tunnels.find(({ spec }) => spec.remoteCluster === remote);
  const gateway = gatewayOf(objects.fabricNodes, tunnel);
  const names = namesOf(tunnel, local.address ?? '', away.address ?? '');
  const pair = (localName: string, awayName: string) =>
    outwards ? { source: localName, destination: awayName } : { source: awayName, destination: localName };
  const inHere = { ...pair(local.address ?? '', away.address ?? ''), terms: here };
  const onWire = { ...pair(local.address ?? '', names.away ?? '?'), terms: 'the tunnel (real addresses)' };
  const there = { ...pair(names.local ?? '?', names.away ?? '?'), terms: remote };
  const end = `pod ${away.name} at ${remote}`;
  const hops: Hop[] = [
    { at: `pod ${local.name}`, ...inHere, verdict: 'Passes', why: `the pod runs on node ${local.node}` },
    nodeHop(objects.fabricNodes, local.node, inHere, outwards),
    ...(gateway === undefined || gateway !== local.node
      ? [gatewayHop(objects.fabricNodes, gateway, tunnel, inHere, outwards)]
      : []),
    admissionHop(tunnel, gateway, names.away, onWire),
    sessionHop(tunnel, onWire, outwards),
    {
      at: `tunnel endpoint of ${remote}`,
      ...there,
      verdict: names.local === undefined ? 'Unknown' : 'Passes',
      why:
        names.local === undefined
          ? `${remote} has not declared yet to which range it remaps ${local.address}`
          : `admitted: between offloaded pods of this cluster and this cluster’s pods; it remaps ${local.address} to ${names.local}`,
    },
    {
      at: end,
      ...there,
      verdict: 'Unknown',
      why: 'its node, CNI and network policies belong to the provider',
    },
  ];
  return {
    hops: outwards ? hops : hops.toReversed(),
    gateway,
    // Sent from here for either direction: replies of the remote pod take the path of its own packets.
    probes: [{ prober: local.node, target: away.address ?? '', remote, repliesAt: end }],
  };
}

/** Between pods at two providers: through this cluster, each under a mapped address of its external CIDR. */
function relayedRoute(facts: TraceFacts, from: Side, to: Side): Route {
  const { objects, mappings } = facts;
  const mappingOf = (pod: TracedPod) =>
    mappings.find(({ spec }) => spec.target === pod.address)?.spec.address;
  const [mappingsFrom, mappingsFor] = [mappingOf(from.pod), mappingOf(to.pod)];
  const tunnelTo = (id: string | undefined) => objects.tunnels.find(({ spec }) => spec.remoteCluster === id);
  const [first, second] = [tunnelTo(from.provider), tunnelTo(to.provider)];
  const known = (tunnel: Tunnel | undefined, address: string | undefined) =>
    (address === undefined ? undefined : toMapped(tunnel?.spec.remoteRemaps ?? [], address)) ?? '?';
  const gateway = gatewayOf(objects.fabricNodes, first);
  const atFirst = {
    source: toReal(first?.spec.remaps ?? [], from.pod.address ?? '') ?? '?',
    destination: known(first, mappingsFor),
    terms: from.provider ?? '',
  };
  const atHome = { source: mappingsFrom ?? '?', destination: to.pod.address ?? '?', terms: here };
  const atSecond = {
    source: known(second, mappingsFrom),
    destination: toReal(second?.spec.remaps ?? [], to.pod.address ?? '') ?? '?',
    terms: to.provider ?? '',
  };
  const lends: HopVerdict = mappingsFrom !== undefined && mappingsFor !== undefined ? 'Passes' : 'Stops';
  const leg = (
    { pod, provider = '' }: Side,
    tunnel: Tunnel | undefined,
    addresses: Addresses,
    outwards: boolean,
    why: string,
  ) => {
    const at = `pod ${pod.name} at ${provider}`;
    const end: Hop = { at, remote: provider, ...addresses, verdict: 'Unknown', why };
    const probes: ProbeRequest[] =
      gateway === undefined
        ? []
        : [{ prober: gateway, target: pod.address ?? '', remote: provider, repliesAt: at }];
    return { end, session: { ...sessionHop(tunnel, addresses, outwards), remote: provider }, probes };
  };
  const there = leg(from, first, atFirst, false, 'the provider delivers it to its gateway node');
  const back = leg(to, second, atSecond, true, 'its node, CNI and network policies belong to the provider');
  const relay: Hop = {
    at: `gateway node ${gateway ?? '(none)'}`,
    ...atHome,
    verdict: lends,
    why:
      lends === 'Passes'
        ? `both pods have mapped addresses, ${mappingsFrom} and ${mappingsFor}, which the providers use`
        : 'pods at two providers reach each other by mapped addresses, and one of them has none: both must be ready pods of one offloaded namespace',
  };
  return {
    gateway,
    hops: [there.end, there.session, relay, back.session, back.end],
    probes: [...there.probes, ...back.probes],
  };
}

function namesOf(tunnel: Tunnel | undefined, local: string, away: string) {
  return {
    /** The remote pod's real address; the local pod's address in the provider's address space. */
    away: tunnel && toReal(tunnel.spec.remaps, away),
    local: tunnel && toMapped(tunnel.spec.remoteRemaps, local),
  };
}
