/**
 * Translates a NetworkPolicy of the consumer for a provider. Pods that run at that provider are selected by labels, all
 * others by their addresses there. Peers that cannot be expressed are left out, which allows less traffic, never more. Pure.
 */
import {
  mostPeers,
  mostPeersInAll,
  type LabelSelector,
  type PolicyPeer,
  type PolicyPort,
  type ShadowPolicy,
} from '../../shared/api/policies.ts';
import { selectorMatches } from '../../shared/label-selectors.ts';
import { hostRange } from '../../shared/net/cidr.ts';
import type { Namespace, NetworkPolicy, Pod } from '../../shared/kube/types.ts';
import type { Translate } from './addresses.ts';
import { reflectedMetadata, type Target } from './objects.ts';
import { blocksThere, type RangesInView } from './policy-blocks.ts';

/** Fields as in `networking.k8s.io/v1`. */
interface Peer {
  podSelector?: LabelSelector;
  namespaceSelector?: LabelSelector;
  ipBlock?: { cidr: string; except?: string[] };
}
interface Rule {
  from?: Peer[];
  to?: Peer[];
  ports?: { protocol?: 'TCP' | 'UDP' | 'SCTP'; port?: number | string; endPort?: number }[];
}
interface Spec {
  podSelector?: LabelSelector;
  policyTypes?: ('Ingress' | 'Egress')[];
  ingress?: Rule[];
  egress?: Rule[];
}

/** The inputs by which peers are resolved. */
export interface PolicyView {
  namespaces: readonly Namespace[];
  /** All pods of this cluster, including those on virtual nodes. */
  pods: readonly Pod[];
  /** Namespaces of this cluster with a twin namespace at the provider. */
  offloaded: readonly string[];
  /** Whether an address here is that of a pod at the provider. */
  isThere: (address: string) => boolean;
  translate: Translate;
  ranges: RangesInView;
}

const dnsNamespace = 'kube-system';
const dnsLabels = { 'k8s-app': 'kube-dns' };

/** The ShadowPolicy in the twin namespace. */
export function shadowPolicy(source: NetworkPolicy, target: Target, view: PolicyView): ShadowPolicy {
  const spec = (source.spec ?? {}) as Spec;
  let left = mostPeersInAll;
  const rules = (direction: 'ingress' | 'egress') =>
    (spec[direction] ?? []).flatMap((rule) => {
      const asked = direction === 'ingress' ? rule.from : rule.to;
      const ports = rule.ports?.map(portThere);
      const withPorts = (given: PolicyPort[] | undefined) =>
        given !== undefined && given.length > 0 ? { ports: given } : {};
      // An empty list of peers matches everything, as in Kubernetes.
      if (asked === undefined || asked.length === 0) return [withPorts(ports)];
      const found = asked.map((peer) => resolve(peer, direction, target.source, view));
      const groups = new Map<string, { ports: PolicyPort[] | undefined; peers: PolicyPeer[] }>();
      const add = (given: PolicyPort[] | undefined, peers: PolicyPeer[]) => {
        const key = JSON.stringify(given ?? null);
        const group = groups.get(key) ?? { ports: given, peers: [] };
        group.peers.push(...peers);
        groups.set(key, group);
      };
      add(
        ports,
        found.flatMap((each) => each.peers),
      );
      for (const { pod, peers } of found.flatMap((each) => each.elsewhere)) {
        // Port names belong to containers, which are unknown to the peer's cluster.
        const numbered =
          direction === 'egress' ? ports?.flatMap((port) => numberedPort(port, pod) ?? []) : ports;
        if (ports === undefined || numbered === undefined || numbered.length > 0) add(numbered, peers);
      }
      return [...groups.values()].map((group) => {
        const peers = unique(group.peers).slice(0, Math.min(mostPeers, left));
        left -= peers.length;
        return { peers, ...withPorts(group.ports) };
      });
    });
  const policyTypes = spec.policyTypes ?? ['Ingress'];
  return {
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'ShadowPolicy',
    metadata: reflectedMetadata(source.metadata.name, target),
    spec: {
      podSelector: selectorOf(spec.podSelector),
      policyTypes,
      ...(policyTypes.includes('Ingress') && { ingress: rules('ingress') }),
      ...(policyTypes.includes('Egress') && { egress: rules('egress') }),
    },
  };
}

function resolve(
  peer: Peer,
  direction: 'ingress' | 'egress',
  own: string,
  view: PolicyView,
): { peers: PolicyPeer[]; elsewhere: { pod: Pod; peers: PolicyPeer[] }[] } {
  if (peer.ipBlock !== undefined) {
    return {
      peers: blocksThere(peer.ipBlock, direction, view.ranges),
      elsewhere: mappedWithin(peer.ipBlock, view),
    };
  }
  const { podSelector = {}, namespaceSelector } = peer;
  const selected = new Set(
    namespaceSelector === undefined
      ? [own]
      : view.namespaces
          .filter(({ metadata }) => selectorMatches(namespaceSelector, metadata.labels))
          .map(({ metadata }) => metadata.name),
  );
  const there = view.offloaded.filter((name) => selected.has(name)).sort();
  const elsewhere = view.pods
    .filter(
      ({ metadata }) =>
        selected.has(metadata.namespace ?? '') && selectorMatches(podSelector, metadata.labels),
    )
    .map((pod) => ({ pod, peers: addressesThere(pod, view) }));
  const dns = direction === 'egress' && selected.has(dnsNamespace) && selectorMatches(podSelector, dnsLabels);
  return {
    peers: [
      ...(there.length === 0 ? [] : [{ pods: { namespaces: there, selector: selectorOf(podSelector) } }]),
      ...(dns ? [{ dns: true }] : []),
    ],
    elsewhere: elsewhere.filter(({ peers }) => peers.length > 0),
  };
}

/** Pods that run elsewhere, by address; finished ones no longer have one. */
function addressesThere(pod: Pod, view: PolicyView): PolicyPeer[] {
  return addressesOf(pod).flatMap((address) => {
    if (view.isThere(address)) return [];
    const there = view.translate(address);
    return there === undefined ? [] : [{ block: { cidr: hostRange(there) } }];
  });
}

function addressesOf({ spec, status }: Pod): string[] {
  const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  // A pod in the host network has the node's address, to which pod selectors do not apply.
  if (ended || spec?.['hostNetwork'] === true) return [];
  return (status?.podIPs ?? []).map(({ ip }) => ip);
}

/** Pods at third clusters have no range at the provider, so those in the block are listed individually. */
function mappedWithin(
  block: NonNullable<Peer['ipBlock']>,
  view: PolicyView,
): { pod: Pod; peers: PolicyPeer[] }[] {
  const within = view.ranges.inElsewhere(block);
  return view.pods
    .filter((pod) => addressesOf(pod).some(within))
    .map((pod) => ({ pod, peers: addressesThere(pod, view) }));
}

function portThere({ protocol = 'TCP', port, endPort }: NonNullable<Rule['ports']>[number]): PolicyPort {
  return {
    protocol,
    ...(port !== undefined && { port: String(port) }),
    ...(endPort !== undefined && { endPort }),
  };
}

/** The port's number, resolved from a name by the pod's containers; undefined if the pod has no such port. */
function numberedPort(port: PolicyPort, pod: Pod): PolicyPort | undefined {
  if (port.port === undefined || /^[0-9]+$/.test(port.port)) return port;
  const containers = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const ports = containers.flatMap(
    (each) => (each['ports'] ?? []) as { name?: string; containerPort: number; protocol?: string }[],
  );
  const named = ports.find((each) => each.name === port.port && (each.protocol ?? 'TCP') === port.protocol);
  return named && { protocol: port.protocol, port: String(named.containerPort) };
}

/** Only the known fields of a selector: the provider would not understand later additions of Kubernetes. */
function selectorOf({ matchLabels, matchExpressions }: LabelSelector = {}): LabelSelector {
  return {
    ...(matchLabels !== undefined && { matchLabels }),
    ...(matchExpressions !== undefined && { matchExpressions }),
  };
}

/** In a stable order, so that equal peers give equal text. */
function unique(peers: readonly PolicyPeer[]): PolicyPeer[] {
  const byText = new Map(peers.map((peer) => [JSON.stringify(peer), peer]));
  return [...byText].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, peer]) => peer);
}
