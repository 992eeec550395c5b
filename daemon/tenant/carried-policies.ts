/**
 * NetworkPolicies from a consumer's ShadowPolicies. Policies are additive, so each rule is restricted to what the consumer's
 * isolation permits: no request of the consumer opens anything that isolation closes. Pure.
 */
import {
  mostPeersInAll,
  type PolicyPeer,
  type PolicyPort,
  type PolicyRule,
  type ShadowPolicy,
} from '../../shared/api/policies.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import type { Finding } from '../../shared/conditions.ts';
import { labels as known, shorten } from '../../shared/names.ts';
import { contains, readRanges, tryParseRange, type Range } from '../../shared/net/cidr.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { NetworkPolicy } from '../../shared/kube/types.ts';
import { peeringLabels, reasons } from './names.ts';
import { selectorHere } from './pod-labels.ts';
import {
  blocksAtHome,
  closedRanges,
  dnsPorts,
  kubeDNS,
  sameConsumer,
  servicesAtHome,
  type PolicyNetwork,
} from './isolation.ts';

type Direction = 'ingress' | 'egress';

/** Port numbers as text; anything else is a port name. */
const number = /^[1-9][0-9]{0,4}$/;

/** Prefix of the NetworkPolicy's name, which distinguishes it from the provider's own. */
export const carriedName = (shadow: ShadowPolicy): string => shorten(`carried-${shadow.metadata.name}`, 63);

/** The NetworkPolicy, and the number of peers of the record that it omits. */
export function carriedPolicy(
  shadow: ShadowPolicy,
  peering: IncomingPeering,
  network: PolicyNetwork,
): { policy: NetworkPolicy; cut: number } {
  const { name, namespace = '', uid = '' } = shadow.metadata;
  const { podSelector, policyTypes } = shadow.spec;
  let cut = 0;
  let left = mostPeersInAll;
  const rules = (direction: Direction) =>
    (shadow.spec[direction] ?? []).flatMap((rule) => {
      const made = rulesOf(rule, direction, peering, network, left);
      cut += made.cut;
      left -= made.taken;
      return made.rules;
    });
  const spec = {
    podSelector: selectorHere(podSelector),
    policyTypes,
    ...(policyTypes.includes('Ingress') && { ingress: rules('ingress') }),
    ...(policyTypes.includes('Egress') && { egress: rules('egress') }),
  };
  const policy: NetworkPolicy = {
    apiVersion: kind.networkPolicy.apiVersion,
    kind: kind.networkPolicy.kind,
    metadata: {
      name: carriedName(shadow),
      namespace,
      labels: peeringLabels(peering),
      // Owned by the record, so Kubernetes deletes it with the record.
      ownerReferences: [{ apiVersion: shadow.apiVersion, kind: shadow.kind, name, uid, controller: true }],
    },
    spec,
  };
  return { policy, cut };
}

/** A rule without peers allows everything, so a rule without remaining peers is dropped. */
function rulesOf(
  rule: PolicyRule,
  direction: Direction,
  peering: IncomingPeering,
  network: PolicyNetwork,
  most: number,
): { rules: object[]; cut: number; taken: number } {
  const side = direction === 'ingress' ? 'from' : 'to';
  const ports = rule.ports?.map(portHere);
  const withPorts = ports !== undefined && ports.length > 0 && { ports };
  const asked: PolicyPeer[] = rule.peers ?? everybody(direction, network);
  const peers = asked.flatMap((peer) => peerHere(peer, direction, peering, network) ?? []).slice(0, most);
  const dns =
    direction === 'egress' && asked.some((peer) => peer.dns === true) ? dnsRule(rule.ports) : undefined;
  return {
    rules: [
      ...(peers.length === 0 ? [] : [{ [side]: peers, ...withPorts }]),
      ...(dns === undefined ? [] : [dns]),
    ],
    cut: asked.filter((peer) => peer.dns !== true).length - peers.length,
    taken: peers.length,
  };
}

/** All peers that the isolation admits. */
function everybody(direction: Direction, network: PolicyNetwork): PolicyPeer[] {
  const own: PolicyPeer[] = [
    { pods: { selector: {} } },
    ...blocksAtHome(network).map(({ cidr }) => ({ block: { cidr } })),
  ];
  const caches = ['0.0.0.0/0', '::/0'].map((cidr) => ({ block: { cidr } }));
  return direction === 'ingress' ? own : [...own, { dns: true }, ...caches];
}

function peerHere(
  { pods, block }: PolicyPeer,
  direction: Direction,
  peering: IncomingPeering,
  network: PolicyNetwork,
): object | undefined {
  if (pods !== undefined) {
    const { namespaces, selector } = pods;
    // Only this consumer's namespaces, by a label that only the provider sets.
    const values = namespaces && {
      matchExpressions: [{ key: known.originNamespace, operator: 'In', values: namespaces }],
    };
    if (namespaces?.length === 0) return undefined;
    return {
      namespaceSelector: { ...sameConsumer(peering), ...values },
      podSelector: selectorHere(selector),
    };
  }
  return block && blockHere(block, direction, network);
}

function blockHere(
  { cidr, except = [] }: NonNullable<PolicyPeer['block']>,
  direction: Direction,
  network: PolicyNetwork,
): object | undefined {
  const range = tryParseRange(cidr);
  if (range === undefined) return undefined;
  const home = readRanges(blocksAtHome(network).map((each) => each.cidr));
  const asked = readRanges(except);
  // An unreadable exception must not be ignored.
  if (asked.length < except.length) return undefined;
  const closed = closedRanges(network);
  if (home.some((each) => contains(each, range))) return ipBlock(range, [...asked, ...closed]);
  if (direction === 'ingress') return undefined;
  return ipBlock(range, [...asked, ...home, ...closed, ...servicesAtHome(network)]);
}

/** Undefined if nothing of the range remains. Kubernetes accepts only exceptions within the range. */
function ipBlock(range: Range, except: readonly Range[]): object | undefined {
  if (except.some((each) => contains(each, range))) return undefined;
  const within = except.filter((each) => contains(range, each));
  const widest = within.filter(
    (each) => !within.some((other) => other.text !== each.text && contains(other, each)),
  );
  const texts = [...new Set(widest.map(({ text }) => text))].sort();
  return { ipBlock: { cidr: range.text, ...(texts.length > 0 && { except: texts }) } };
}

function portHere({ protocol, port, endPort }: PolicyPort): object {
  if (port === undefined) return { protocol };
  if (!number.test(port)) return { protocol, port };
  return { protocol, port: Number(port), ...(endPort !== undefined && { endPort }) };
}

/** The provider's DNS replaces the consumer's, only on its two ports. */
function dnsRule(ports: readonly PolicyPort[] | undefined): object | undefined {
  const open = dnsPorts.filter(
    (each) =>
      ports === undefined ||
      ports.length === 0 ||
      ports.some(({ protocol, port, endPort }) => {
        if (protocol !== each.protocol) return false;
        if (port === undefined || /^dns(-tcp)?$/.test(port)) return true;
        return Number(port) <= each.port && each.port <= (endPort ?? Number(port));
      }),
  );
  return open.length === 0 ? undefined : { to: [kubeDNS], ports: open };
}

/** The condition Carried of the record. */
export function carriedFinding(cut: number): Finding {
  const type = 'Carried';
  const kept = 'the provider has created the NetworkPolicy';
  return cut === 0
    ? { type, status: 'True', reason: reasons.Carried, message: kept }
    : {
        type,
        status: 'True',
        reason: reasons.CarriedInPart,
        message: `${kept}, without ${cut} peers that the provider’s isolation of consumers blocks`,
      };
}
