/** Endpoints that a consumer reflects into its twin namespaces: only those at the consumer's own addresses are served. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import {
  addressFamily,
  anyContains,
  normalizeAddress,
  readRanges,
  without,
  type Range,
} from '../../shared/net/cidr.ts';
import type { ControllerContext } from '../kube/context.ts';
import { triggers, type Result, type Source } from '../kube/controller.ts';
import { isAlreadyExists } from '../../shared/kube/errors.ts';
import { keyOf, refOf, splitKey } from '../../shared/kube/refs.ts';
import type { EndpointSlice } from '../../shared/kube/types.ts';
import { AddressBook } from './address-book.ts';
import { closedRanges } from './isolation.ts';
import { fieldManager } from './names.ts';
import type { Refusals } from './refusals.ts';
import type { Restraints } from './restraints.ts';
import { recordOf, servedSlice, servesOther } from './served-slice.ts';
import type { Caches } from './caches.ts';

type Endpoints = NonNullable<EndpointSlice['endpoints']>;

/** Ownership of addresses as known to this cluster. */
export interface AddressView {
  /** The consumer's ranges as this cluster knows them; undefined until known. */
  atHome: readonly Range[] | undefined;
  /** Pods, Services and nodes of this cluster. */
  here: readonly Range[];
  /** Whether a pod of this consumer has the address. */
  isOwnPod: (address: string) => boolean;
}

/** Splits endpoints into those at the consumer's own addresses and foreign addresses. Pure. */
export function partEndpoints(
  slice: Pick<EndpointSlice, 'addressType' | 'endpoints'>,
  view: AddressView,
): { kept: Endpoints; foreign: string[] } {
  const { atHome, here } = view;
  const isOwn = (address: string): boolean => {
    if (addressFamily(address) === undefined) return false;
    if (view.isOwnPod(normalizeAddress(address))) return true;
    // Before the consumer's network is known nothing there can be reached; addresses of this cluster are refused anyway.
    return atHome === undefined ? !anyContains(here, address) : anyContains(atHome, address);
  };
  const foreign = new Set<string>();
  const kept = (slice.endpoints ?? []).filter(({ addresses }) => {
    const bad = addresses.filter((address) => !isOwn(address));
    for (const address of bad) foreign.add(address);
    return bad.length === 0;
  });
  return { kept, foreign: [...foreign] };
}

/** The inputs by which a slice is evaluated. */
export function viewOf(
  local: LocalCluster | undefined,
  tunnel: Tunnel | undefined,
  isOwnPod: AddressView['isOwnPod'],
): AddressView {
  const { podCIDRs = [], serviceCIDRs = [], nodeCIDRs = [] } = local?.status ?? {};
  const closed = closedRanges({ local });
  return {
    // A draining remap is still accepted, but this cluster's own ranges take precedence.
    atHome:
      tunnel &&
      readRanges(tunnel.spec.remaps.map(({ mapped }) => mapped)).flatMap((range) => without(range, closed)),
    here: readRanges([...podCIDRs, ...serviceCIDRs, ...nodeCIDRs]),
    isOwnPod,
  };
}

/** The consumer may know a starting pod before its address is known here. */
const doubtMilliseconds = 2_000;

/** Index of records by their addresses. */
function createMentions(caches: Pick<Caches, 'slices'>): (address: string) => Iterable<string> {
  const mentions = new Map<string, Set<string>>();
  const addressesOf = (slice: EndpointSlice | undefined) =>
    new Set((slice?.endpoints ?? []).flatMap(({ addresses }) => addresses.map((each) => plain(each))));
  caches.slices.onChange((key, slice, previous) => {
    const now = addressesOf(slice);
    for (const address of addressesOf(previous)) {
      const keys = mentions.get(address);
      if (keys === undefined || now.has(address)) continue;
      keys.delete(key);
      if (keys.size === 0) mentions.delete(address);
    }
    for (const address of now) mentions.set(address, (mentions.get(address) ?? new Set()).add(key));
  });
  return (address) => mentions.get(address) ?? [];
}

const plain = (address: string) =>
  addressFamily(address) === undefined ? address : normalizeAddress(address);

export interface ServedEndpoints {
  reconcile: (key: string, signal: AbortSignal) => Promise<Result | void>;
  /** Records with an address that a pod has got or lost. */
  source: Source;
}

/** The reconciler. Keys are `twin namespace/name` of records. */
export function createServedEndpoints(
  context: ControllerContext,
  caches: Caches,
  refusals: Refusals,
  restraints: Restraints,
): ServedEndpoints {
  const { kube, clock, events, log } = context;
  const book = new AddressBook(clock);
  const mentions = createMentions(caches);
  const again = triggers();
  /** By record: foreign addresses that may belong to a starting pod, and when they were first seen. */
  const doubted = new Map<string, Map<string, number>>();
  caches.pods.onChange((key, pod, previous) => {
    for (const address of book.change(key, pod, previous))
      for (const record of mentions(address)) again.trigger(record);
  });

  /** Addresses that are certainly foreign, after the time that a starting pod may take. */
  function surelyForeign(key: string, foreign: readonly string[]): { sure: string[]; isDoubted: boolean } {
    const pods = readRanges(caches.local.byKey('self')?.status?.podCIDRs ?? []);
    const before = doubted.get(key);
    const now = new Map<string, number>();
    const sure = foreign.filter((address) => {
      if (!anyContains(pods, address)) return true;
      const since = before?.get(address) ?? clock.monotonic();
      now.set(address, since);
      return clock.monotonic() - since >= doubtMilliseconds;
    });
    if (now.size > 0) doubted.set(key, now);
    else doubted.delete(key);
    return {
      sure,
      isDoubted: now.size > sure.length || [...now.keys()].some((each) => !sure.includes(each)),
    };
  }

  async function serve(record: EndpointSlice, wanted: EndpointSlice | undefined, signal: AbortSignal) {
    const stale = caches.served
      .listIn(record.metadata.namespace ?? '')
      .filter(
        (each) => recordOf(each) === record.metadata.name && each.metadata.name !== wanted?.metadata.name,
      );
    await Promise.all(stale.map((each) => kube.delete(refOf(each), {}, signal)));
    if (wanted === undefined) return;
    const present = caches.served.byKey(keyOf(wanted));
    if (present === undefined) {
      await kube.create(wanted, signal, { fieldManager }).catch((error: unknown) => {
        // The cache is stale by an event, which triggers another reconcile.
        if (!isAlreadyExists(error)) throw error;
      });
    } else if (servesOther(present, wanted)) {
      const { resourceVersion = '' } = present.metadata;
      await kube.replace(
        { ...wanted, metadata: { ...wanted.metadata, resourceVersion } },
        { fieldManager },
        signal,
      );
    }
  }

  async function reconcile(key: string, signal: AbortSignal): Promise<Result | void> {
    const record = caches.slices.byKey(key);
    const { namespace = '', name } = splitKey(key);
    if (record === undefined || record.metadata.deletionTimestamp !== undefined) {
      doubted.delete(key);
      const left = caches.served.listIn(namespace).filter((each) => recordOf(each) === name);
      await Promise.all(left.map((each) => kube.delete(refOf(each), {}, signal)));
      return;
    }
    const peering = caches.peeringOfTwin(caches.namespaces.byKey(namespace));
    if (peering === undefined) return;
    const consumer = peering.spec.remoteCluster;
    const view = viewOf(caches.local.byKey('self'), caches.tunnels.byKey(consumer), (address) =>
      book.has(consumer, address),
    );
    const { kept, foreign } = partEndpoints(record, view);
    await serve(record, servedSlice(record, peering, kept), signal);
    // The address of a recently ended own pod is not counted as a refusal, but not served either.
    const strange = foreign.filter((address) => !book.hadLately(consumer, plain(address)));
    const { sure, isDoubted } = surelyForeign(key, strange);
    const version = record.metadata.resourceVersion ?? '';
    if (sure.length > 0) {
      const message = `EndpointSlice ${key} names ${sure.slice(0, 4).join(', ')}, which is not an address of ${consumer}’s pods: it is not served`;
      const isNew = refusals.note(peering, 'Endpoint', `${record.metadata.uid}/${version}`, message);
      if (isNew) {
        for (const address of sure.slice(0, 64)) restraints.foreign(peering, address);
        events.emit(peering, 'Warning', 'ForeignEndpoint', message);
        log.warn('a consumer names endpoints that are not its own', {
          consumer,
          slice: key,
          foreign: sure.length,
        });
      }
    }
    return isDoubted ? { requeueAfterMilliseconds: doubtMilliseconds } : undefined;
  }

  return { reconcile, source: again };
}
