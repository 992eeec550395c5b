/** Which mapped addresses this cluster needs, and which of them a gateway node translates. Pure. */
import { createHash } from 'node:crypto';
import type { FabricNode, AddressMapping } from '../../shared/api/network.ts';
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition, toSeconds, type Finding } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { addressFamily, parseRange, tryParseHost } from '../../shared/net/cidr.ts';
import { allocateMappedAddresses, isMappedAddress } from '../../shared/net/external-cidr.ts';
import { kind, stableText, type Pod } from '../kube/index.ts';

/** How long the address of a deleted pod is not reassigned: EndpointSlices and connections elsewhere may still refer to it. */
export const drainingMilliseconds = 60_000;

/** An offloaded pod that other providers must reach. */
export interface MappingRequest {
  pod: AddressMapping['spec']['pod'];
  /** The pod's address as this cluster knows it. */
  target: string;
  remoteClusters: string[];
}

/**
 * Pods on virtual nodes whose namespace is offloaded to more than one remote cluster. Pods of that namespace at the other
 * remotes may connect to such a pod, or it to them, so each remote needs an address for it.
 *
 * @param family address family of the external CIDR; addresses of the other family cannot be mapped
 */
export function mappingRequests(
  family: 4 | 6,
  pods: readonly Pod[],
  offloadings: readonly NamespaceOffloading[],
  peerings: readonly OutgoingPeering[],
): MappingRequest[] {
  const remoteOf = new Map(peerings.map(({ metadata, spec }) => [metadata.name, spec.remoteCluster]));
  const remoteOfNode = new Map(peerings.map(({ spec }) => [spec.nodeName, spec.remoteCluster]));
  const remotesOf = new Map(
    offloadings.map(({ metadata, status }) => [
      metadata.namespace ?? '',
      new Set((status?.remotes ?? []).flatMap(({ peering }) => remoteOf.get(peering) ?? [])),
    ]),
  );
  const byAge = (one: Pod, other: Pod) => (ageOf(one) < ageOf(other) ? -1 : 1);
  return pods.toSorted(byAge).flatMap((pod): MappingRequest[] => {
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

/** A mapping that a gateway node's plan uses, as the AddressMapping has it. */
export type UsableMapping = Pick<AddressMapping['spec'], 'address' | 'target' | 'remoteClusters'>;

export interface MappingPlan {
  create: AddressMapping[];
  /** Existing AddressMappings, with the spec that they should have. */
  change: AddressMapping[];
  remove: AddressMapping[];
  /** Pods for which no address is free. */
  without: MappingRequest[];
  /** When the next draining address becomes free; undefined if none is draining. */
  againAfter: number | undefined;
}

/**
 * @param present all existing AddressMappings
 * @param known whether any provider may still use a mapped address; if not, none has to drain
 */
export function planAddressMappings(
  externalCIDR: string,
  requests: readonly MappingRequest[],
  present: readonly AddressMapping[],
  known: boolean,
  now: number,
): MappingPlan {
  const plan: MappingPlan = { create: [], change: [], remove: [], without: [], againAfter: undefined };
  const pool = parseRange(externalCIDR);
  const held = new Map<string, AddressMapping>();
  const surplus: AddressMapping[] = [];
  for (const mappings of present) {
    if (mappings.metadata.deletionTimestamp !== undefined) continue;
    const { address, pod } = mappings.spec;
    const host = tryParseHost(address);
    if (host === undefined || !isMappedAddress(pool, host)) plan.remove.push(mappings);
    else if (held.has(pod.uid)) surplus.push(mappings);
    else held.set(pod.uid, mappings);
  }
  const stored = new Map([
    ...[...held].map(([uid, { spec }]) => [uid, spec.address] as const),
    // Their keys match no request, so these addresses stay allocated.
    ...surplus.map(({ metadata, spec }) => [`surplus ${metadata.name}`, spec.address] as const),
    // Objects that are being deleted hold their names until they are gone.
    ...present
      .filter(({ metadata }) => metadata.deletionTimestamp !== undefined)
      .map(({ metadata, spec }) => [`leaving ${metadata.name}`, spec.address] as const),
  ]);
  const addresses = allocateMappedAddresses(
    externalCIDR,
    requests.map(({ pod }) => pod.uid),
    stored,
  );
  for (const request of requests) {
    const address = addresses.get(request.pod.uid);
    if (address === undefined) {
      plan.without.push(request);
      continue;
    }
    const { pod, target, remoteClusters } = request;
    const spec: AddressMapping['spec'] = { address, target, remoteClusters, pod };
    const found = held.get(pod.uid);
    held.delete(pod.uid);
    if (found === undefined) plan.create.push(newAddressMapping(spec));
    else if (stableText(found.spec) !== stableText(spec)) plan.change.push({ ...found, spec });
  }
  for (const mappings of [...held.values(), ...surplus]) {
    const { drainingSince } = mappings.spec;
    if (known && drainingSince === undefined) {
      plan.change.push({ ...mappings, spec: { ...mappings.spec, drainingSince: toSeconds(now) } });
    }
    const since = drainingSince === undefined ? now : Date.parse(drainingSince);
    const left = Number.isFinite(since) ? since + drainingMilliseconds - now : 0;
    if (!known || left <= 0) plan.remove.push(mappings);
    else plan.againAfter = Math.min(plan.againAfter ?? left, left);
  }
  return plan;
}

/** The object is named after its address, so that no two objects can have the same address. */
function newAddressMapping(spec: AddressMapping['spec']): AddressMapping {
  return {
    apiVersion: kind.addressMapping.apiVersion,
    kind: kind.addressMapping.kind,
    metadata: { name: addressMappingName(spec.address), labels: { [labels.managedBy]: 'hawser-fabric' } },
    spec,
  };
}

/** `100.64.24.1` → `mapping-100-64-24-1` */
export const addressMappingName = (address: string): string =>
  `mapping-${address.replace(/[^0-9a-f]+/g, '-')}`;

/** The mappings that a gateway node's plan uses, in a stable order. */
export function usableMappings(present: readonly AddressMapping[]): UsableMapping[] {
  return present
    .filter(({ metadata, spec }) => metadata.deletionTimestamp === undefined && !spec.drainingSince)
    .map(({ spec: { address, target, remoteClusters } }) => ({ address, target, remoteClusters }))
    .sort((one, other) => (one.address < other.address ? -1 : one.address > other.address ? 1 : 0));
}

/** A short hash of a set of mapped addresses, by which a gateway node reports which ones it translates. */
export function mappingRevision(mappings: readonly UsableMapping[]): string {
  return createHash('sha256').update(stableText(mappings)).digest('hex').slice(0, 16);
}

/**
 * The Programmed condition of each mapping. A mapping once programmed stays so while its spec is unchanged, because the
 * revision also changes with every other mapping.
 */
export function mappingFinding(
  mappings: AddressMapping,
  revision: string,
  nodes: readonly FabricNode[],
): Finding {
  const type = 'Programmed';
  if (mappings.spec.drainingSince !== undefined) {
    return {
      type,
      status: 'False',
      reason: 'Draining',
      message: `the pod is gone; the address is not used, and not assigned to another pod for ${drainingMilliseconds / 1000} seconds`,
    };
  }
  const gateways = nodes.filter(
    ({ spec, status }) =>
      spec.tunnelEndpoint !== undefined && spec.tunnelEndpoint === status?.heldTunnelEndpoint,
  );
  if (gateways.length === 0) {
    return {
      type,
      status: 'False',
      reason: 'NoGateway',
      message:
        'no node holds a tunnel endpoint: label a node hawser.dev/gateway=true, and check that it is Ready',
    };
  }
  const before = findCondition(mappings.status?.conditions, type);
  const still = before?.status === 'True' && before.observedGeneration === mappings.metadata.generation;
  const waiting = gateways.find(({ status }) => status?.mappingRevision !== revision);
  if (waiting === undefined || still) {
    return {
      type,
      status: 'True',
      reason: type,
      message: `gateway nodes translate it for ${mappings.spec.remoteClusters.join(', ')}`,
    };
  }
  return {
    type,
    status: 'False',
    reason: 'WaitingForGateway',
    message: `waiting for node ${waiting.metadata.name} to translate it`,
  };
}

/** Address family of a cluster's mapped addresses. */
export const mappingFamily = (externalCIDR: string): 4 | 6 => parseRange(externalCIDR).family;
