/** Which lent addresses this cluster needs, and which of them a gateway translates. Pure. */
import { createHash } from 'node:crypto';
import type { FabricNode, LentAddress } from '../../shared/api/network.ts';
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition, toSeconds, type Finding } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { addressFamily, parseRange } from '../../shared/net/cidr.ts';
import { allocateLentAddresses, isLentAddress } from '../../shared/net/external-cidr.ts';
import { kind, stableText, type Pod } from '../kube/index.ts';
import type { WorldLentAddress } from './plan/input.ts';

/** An address whose pod is gone is given to nobody for so long: endpoints and connections elsewhere still name it. */
export const drainingMilliseconds = 60_000;

/** An offloaded pod that other providers must reach. */
export interface LentWish {
  pod: LentAddress['spec']['pod'];
  /** Its address in this cluster's terms. */
  target: string;
  remoteClusters: string[];
}

/**
 * Pods on virtual nodes whose namespace is offloaded to more than one remote cluster: each of the others may have pods
 * that call it, or that it calls, and both ends need a name there.
 *
 * @param family of the external CIDR; an address of the other one cannot be lent
 */
export function lentWishes(
  family: 4 | 6,
  pods: readonly Pod[],
  offloadings: readonly NamespaceOffloading[],
  peerings: readonly OutgoingPeering[],
): LentWish[] {
  const remoteOf = new Map(peerings.map(({ metadata, spec }) => [metadata.name, spec.remoteCluster]));
  const remoteOfNode = new Map(peerings.map(({ spec }) => [spec.nodeName, spec.remoteCluster]));
  const remotesOf = new Map(
    offloadings.map(({ metadata, status }) => [
      metadata.namespace ?? '',
      new Set((status?.remotes ?? []).flatMap(({ peering }) => remoteOf.get(peering) ?? [])),
    ]),
  );
  const byAge = (one: Pod, other: Pod) => (ageOf(one) < ageOf(other) ? -1 : 1);
  return pods.toSorted(byAge).flatMap((pod): LentWish[] => {
    const { namespace = '', name, uid } = pod.metadata;
    const remote = remoteOfNode.get(pod.spec?.nodeName ?? '');
    const phase = pod.status?.phase;
    const target = pod.status?.podIPs?.find(({ ip }) => addressFamily(ip) === family)?.ip;
    if (uid === undefined || remote === undefined || target === undefined) return [];
    if (phase === 'Succeeded' || phase === 'Failed') return [];
    const remoteClusters = [...(remotesOf.get(namespace) ?? [])].filter((each) => each !== remote).sort();
    return remoteClusters.length === 0 ? [] : [{ pod: { namespace, name, uid }, target, remoteClusters }];
  });
}

const ageOf = ({ metadata }: Pod) => `${metadata.creationTimestamp ?? ''}/${metadata.uid ?? ''}`;

export interface LentPlan {
  create: LentAddress[];
  /** Those that are there, with the spec that they should have. */
  change: LentAddress[];
  remove: LentAddress[];
  /** Pods for which nothing is left. */
  without: LentWish[];
  /** When an address has drained; undefined: none is draining. */
  againAfter: number | undefined;
}

/**
 * @param present all that there are
 * @param known whether any provider may still know of one; otherwise none has to drain
 */
export function planLentAddresses(
  externalCIDR: string,
  wishes: readonly LentWish[],
  present: readonly LentAddress[],
  known: boolean,
  now: number,
): LentPlan {
  const plan: LentPlan = { create: [], change: [], remove: [], without: [], againAfter: undefined };
  const held = new Map<string, LentAddress>();
  const surplus: LentAddress[] = [];
  for (const lent of present) {
    if (lent.metadata.deletionTimestamp !== undefined) continue;
    const { address, pod } = lent.spec;
    if (!isLentAddress(externalCIDR, address)) plan.remove.push(lent);
    else if (held.has(pod.uid)) surplus.push(lent);
    else held.set(pod.uid, lent);
  }
  const stored = new Map([
    ...[...held].map(([uid, { spec }]) => [uid, spec.address] as const),
    // Keys that no wish has: they are taken all the same.
    ...surplus.map(({ metadata, spec }) => [`surplus ${metadata.name}`, spec.address] as const),
    // Deleted objects hold their names until they are gone.
    ...present
      .filter(({ metadata }) => metadata.deletionTimestamp !== undefined)
      .map(({ metadata, spec }) => [`leaving ${metadata.name}`, spec.address] as const),
  ]);
  const addresses = allocateLentAddresses(
    externalCIDR,
    wishes.map(({ pod }) => pod.uid),
    stored,
  );
  for (const wish of wishes) {
    const address = addresses.get(wish.pod.uid);
    if (address === undefined) {
      plan.without.push(wish);
      continue;
    }
    const { pod, target, remoteClusters } = wish;
    const spec: LentAddress['spec'] = { address, target, remoteClusters, pod };
    const found = held.get(pod.uid);
    held.delete(pod.uid);
    if (found === undefined) plan.create.push(newLentAddress(spec));
    else if (stableText(found.spec) !== stableText(spec)) plan.change.push({ ...found, spec });
  }
  for (const lent of [...held.values(), ...surplus]) {
    const { drainingSince } = lent.spec;
    if (known && drainingSince === undefined) {
      plan.change.push({ ...lent, spec: { ...lent.spec, drainingSince: toSeconds(now) } });
    }
    const since = drainingSince === undefined ? now : Date.parse(drainingSince);
    const left = Number.isFinite(since) ? since + drainingMilliseconds - now : 0;
    if (!known || left <= 0) plan.remove.push(lent);
    else plan.againAfter = Math.min(plan.againAfter ?? left, left);
  }
  return plan;
}

/** Named by its address, so that nobody can make two of one. */
function newLentAddress(spec: LentAddress['spec']): LentAddress {
  return {
    apiVersion: kind.lentAddress.apiVersion,
    kind: kind.lentAddress.kind,
    metadata: { name: lentAddressName(spec.address), labels: { [labels.managedBy]: 'hawser-fabric' } },
    spec,
  };
}

/** `100.64.24.1` → `lent-100-64-24-1` */
export const lentAddressName = (address: string): string => `lent-${address.replace(/[^0-9a-f]+/g, '-')}`;

/** What a gateway's plan is made from: those in use, in a stable order. */
export function usableLentAddresses(present: readonly LentAddress[]): WorldLentAddress[] {
  return present
    .filter(({ metadata, spec }) => metadata.deletionTimestamp === undefined && !spec.drainingSince)
    .map(({ spec: { address, target, remoteClusters } }) => ({ address, target, remoteClusters }))
    .sort((one, other) => (one.address < other.address ? -1 : one.address > other.address ? 1 : 0));
}

/** Names a set of lent addresses, so that a gateway can say by a few letters which ones it translates. */
export function lentRevision(lent: readonly WorldLentAddress[]): string {
  return createHash('sha256').update(stableText(lent)).digest('hex').slice(0, 16);
}

/**
 * The condition Programmed of each. What was programmed once stays so while it is the same: what the revision names
 * changes with every other lent address too.
 */
export function lentFinding(lent: LentAddress, revision: string, nodes: readonly FabricNode[]): Finding {
  const type = 'Programmed';
  if (lent.spec.drainingSince !== undefined) {
    return {
      type,
      status: 'False',
      reason: 'Draining',
      message: `the pod is gone; nobody may use the address, and nobody else is given it for ${drainingMilliseconds / 1000} seconds`,
    };
  }
  const gateways = nodes.filter(
    ({ spec, status }) => spec.slot !== undefined && spec.slot === status?.heldSlot,
  );
  if (gateways.length === 0) {
    return {
      type,
      status: 'False',
      reason: 'NoGateway',
      message:
        'no node holds a gateway slot: label a node hawser.dev/gateway=true, and check that it is Ready',
    };
  }
  const before = findCondition(lent.status?.conditions, type);
  const still = before?.status === 'True' && before.observedGeneration === lent.metadata.generation;
  const waiting = gateways.find(({ status }) => status?.lentRevision !== revision);
  if (waiting === undefined || still) {
    return {
      type,
      status: 'True',
      reason: type,
      message: `gateway nodes translate it for ${lent.spec.remoteClusters.join(', ')}`,
    };
  }
  return {
    type,
    status: 'False',
    reason: 'WaitingForGateway',
    message: `waiting for node ${waiting.metadata.name} to translate it`,
  };
}

/** Family of a cluster's lent addresses. */
export const lentFamily = (externalCIDR: string): 4 | 6 => parseRange(externalCIDR).family;
