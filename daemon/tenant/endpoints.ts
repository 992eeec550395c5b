/**
 * EndpointSlices that a consumer reflects into its twins: their addresses are its own, here or at home, or they go.
 * Kubernetes lets whoever may write EndpointSlices point a Service at any address (CVE-2021-25740), such as another
 * tenant's pod or a node.
 */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import { labels } from '../../shared/names.ts';
import { addressFamily, anyContains, normalizeAddress, readRanges, without } from '../../shared/net/cidr.ts';
import type { Clock } from '../../shared/time.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { isNotFound } from '../../shared/kube/errors.ts';
import { keyOf, refOf } from '../../shared/kube/refs.ts';
import type { EndpointSlice, Pod } from '../../shared/kube/types.ts';
import { closedRanges } from './isolation.ts';
import { fieldManager } from './names.ts';
import type { Refusals } from './refusals.ts';
import type { Caches } from './caches.ts';

type Endpoints = NonNullable<EndpointSlice['endpoints']>;

/** Whose an address is, as far as this cluster knows. */
export interface AddressView {
  /** The consumer's ranges as this cluster knows them; undefined: not known yet. */
  atHome: readonly string[] | undefined;
  /** Pods, Services and nodes of this cluster. */
  here: readonly string[];
  /** Has a pod of this consumer the address, or had one a moment ago? */
  isOwnPod: (address: string) => boolean;
}

/** Parts endpoints into those at the consumer's own addresses and the addresses that are not. Pure. */
export function partEndpoints(
  slice: Pick<EndpointSlice, 'addressType' | 'endpoints'>,
  view: AddressView,
): { kept: Endpoints; foreign: string[] } {
  const atHome = view.atHome && readRanges(view.atHome);
  const here = readRanges(view.here);
  const isOwn = (address: string): boolean => {
    if (addressFamily(address) === undefined) return false;
    if (view.isOwnPod(normalizeAddress(address))) return true;
    // Before the network of the consumer is known nothing is reached there; what is surely ours is refused all the same.
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

/** An address stays its pod's for so long after the pod is gone: the consumer hears of the end later than this cluster. */
const afterwardsMilliseconds = 300_000;

const doubtMilliseconds = 500;

/** Which consumer's pods have, or had a moment ago, which addresses. */
export class AddressBook {
  readonly #holders = new Map<string, { consumer: string; pod: string; until: number }>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Told of every change of consumers' pods. */
  change(key: string, pod: Pod | undefined, previous: Pod | undefined): void {
    const addresses = addressesOf(pod);
    for (const address of addressesOf(previous)) {
      const holder = this.#holders.get(address);
      if (addresses.has(address) || holder?.pod !== key) continue;
      holder.until = this.#clock.now() + afterwardsMilliseconds;
    }
    const consumer = pod?.metadata.labels?.[labels.origin];
    if (consumer === undefined) return;
    for (const address of addresses) this.#holders.set(address, { consumer, pod: key, until: Infinity });
  }

  has(consumer: string, address: string): boolean {
    const holder = this.#holders.get(address);
    if (holder !== undefined && holder.until < this.#clock.now()) this.#holders.delete(address);
    return holder?.consumer === consumer && holder.until >= this.#clock.now();
  }
}

function addressesOf(pod: Pod | undefined): Set<string> {
  const { podIP, podIPs = [], phase } = pod?.status ?? {};
  if (phase === 'Succeeded' || phase === 'Failed') return new Set();
  const all = [...podIPs.map(({ ip }) => ip), ...(podIP === undefined ? [] : [podIP])];
  return new Set(all.filter((ip) => addressFamily(ip) !== undefined).map(normalizeAddress));
}

/** What a slice is judged by, from what this cluster knows. */
export function viewOf(
  local: LocalCluster | undefined,
  tunnel: Tunnel | undefined,
  isOwnPod: AddressView['isOwnPod'],
): AddressView {
  const { podCIDRs = [], serviceCIDRs = [], nodeCIDRs = [] } = local?.status ?? {};
  const closed = closedRanges({ local });
  return {
    // A name that drains is still understood; what is this cluster's own is so whatever the consumer declared before.
    atHome: tunnel?.spec.remaps.flatMap(({ mapped }) => without(mapped, closed)),
    here: [...podCIDRs, ...serviceCIDRs, ...nodeCIDRs],
    isOwnPod,
  };
}

/** The reconciler. Keys are `twin/name` of reflected EndpointSlices. */
export function reconcileEndpoints(context: ControllerContext, caches: Caches, refusals: Refusals) {
  const { kube, clock, events, log } = context;
  const book = new AddressBook(clock);
  /** Slices that name what may be a pod, and the version of the first look. */
  const doubted = new Map<string, string>();
  caches.pods.onChange((key, pod, previous) => book.change(key, pod, previous));

  return async (key: string, signal: AbortSignal): Promise<Result | void> => {
    const slice = caches.slices.byKey(key);
    if (slice === undefined || slice.metadata.deletionTimestamp !== undefined) {
      doubted.delete(key);
      return;
    }
    const peering = caches.peeringOfTwin(caches.namespaces.byKey(slice.metadata.namespace ?? ''));
    if (peering === undefined) return;
    const consumer = peering.spec.remoteCluster;
    const view = viewOf(caches.local.byKey('self'), caches.tunnels.byKey(consumer), (address) =>
      book.has(consumer, address),
    );
    const { kept, foreign } = partEndpoints(slice, view);
    if (foreign.length === 0) {
      doubted.delete(key);
      // What is a pod's that is gone is looked at again when nobody can believe any more that it lives.
      return { requeueAfterMilliseconds: 2 * afterwardsMilliseconds };
    }
    // A pod that started just now may be known to the cluster's own endpoints before it is known here.
    const pods = readRanges(caches.local.byKey('self')?.status?.podCIDRs ?? []);
    const version = slice.metadata.resourceVersion ?? '';
    if (doubted.get(key) !== version && foreign.every((address) => anyContains(pods, address))) {
      doubted.set(key, version);
      return { requeueAfterMilliseconds: doubtMilliseconds };
    }
    doubted.delete(key);
    try {
      await kube.patch(
        refOf(slice),
        { metadata: { resourceVersion: slice.metadata.resourceVersion }, endpoints: kept },
        { type: 'merge', fieldManager },
        signal,
      );
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    const message = `EndpointSlice ${keyOf(slice)} names ${foreign.slice(0, 4).join(', ')}, which are not addresses of ${consumer}’s own pods; removed from the slice`;
    refusals.note(peering, 'Endpoint', `${slice.metadata.uid}/${slice.metadata.resourceVersion}`, message);
    events.emit(peering, 'Warning', 'ForeignEndpoint', message);
    log.warn('removed endpoints that do not belong to the consumer', {
      consumer,
      slice: key,
      foreign: foreign.length,
    });
  };
}
