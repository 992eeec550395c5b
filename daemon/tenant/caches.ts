/** The caches that tenant/ reads, and the ledger. */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { consumerLease, labels } from '../../shared/names.ts';
import type { ControllerContext } from '../kube/context.ts';
import { keyOf, kind } from '../../shared/kube/refs.ts';
import type { Namespace, Pod } from '../../shared/kube/types.ts';
import { identitySecret, objectQuotaName, tenantNamespaceOf } from './names.ts';
import { dnsNamespace, dnsService } from './name-resolution.ts';
import { countedOwn, type Countable } from './object-limits.ts';
import { isFinished } from '../../shared/kube/pod-phase.ts';
import { addUsage, nothing, podUsage, type Usage } from './usage.ts';

/** The caches. Asking for one starts its watch. `counted`: filled by `tryCounting`. */
export function createCaches(context: ControllerContext, counted: Countable) {
  const { informer, namespace } = context;
  const caches = {
    incoming: informer(kind.incomingPeering),
    outgoing: informer(kind.outgoingPeering),
    remotes: informer(kind.remoteCluster),
    local: informer(kind.localCluster),
    tunnels: informer(kind.tunnel),
    tokens: informer(kind.peeringToken, { namespace }),
    twins: informer(kind.twinNamespace),
    shadows: informer(kind.shadowPod),
    /** Records of consumers' network policies. */
    policies: informer(kind.shadowPolicy),
    namespaces: informer(kind.namespace, { labelSelector: `${labels.managedBy}=hawser` }),
    /** Pods of consumers. */
    pods: informer(kind.pod, { labelSelector: labels.origin }),
    /** Endpoints that consumers name. The label is theirs to set, and without it they may write none. */
    slices: informer(kind.endpointSlice, { labelSelector: `${labels.reflected}=true` }),
    /** What is served of them. */
    served: informer(kind.endpointSlice, { labelSelector: `${labels.served}=true` }),
    /** Identity Secrets, and nothing of what is in them or other Secrets. */
    identities: informer(kind.secret, {
      labelSelector: `${labels.managedBy}=hawser,${labels.origin}`,
      fieldSelector: `metadata.name=${identitySecret}`,
      transform: {
        name: 'metadata',
        apply: ({ apiVersion, kind: name, metadata }) => ({ apiVersion, kind: name, metadata }),
      },
    }),
    /** By which consumers show that they are there. */
    leases: informer(kind.lease, { fieldSelector: `metadata.name=${consumerLease}` }),
    /** What consumers' objects are counted by. */
    quotas: informer(kind.resourceQuota, { fieldSelector: `metadata.name=${objectQuotaName}` }),
    /** Where the cluster's DNS answers. */
    dns: informer(kind.endpointSlice, {
      namespace: dnsNamespace,
      labelSelector: `kubernetes.io/service-name=${dnsService}`,
    }),
    /** Which of Hawser's own kinds Kubernetes can count: found by a trial, or seen of a quota that counts them already. */
    countable: (): Countable => new Set([...counted, ...caches.quotas.list().flatMap(countedOwn)]),
    /** The peering that owns a tenant namespace. */
    peeringOfTenant(tenant: string): IncomingPeering | undefined {
      return caches.incoming.list().find((peering) => tenantNamespaceOf(peering) === tenant);
    },
    /** The peering that a twin belongs to, by the labels that only this controller sets. */
    peeringOfTwin(twin: Namespace | undefined): IncomingPeering | undefined {
      const name = twin?.metadata.labels?.[labels.peering];
      return name === undefined ? undefined : caches.incoming.byKey(name);
    },
    /** The peering that a pod of a consumer belongs to. */
    peeringNameOfPod: (pod: Pod): string | undefined => pod.metadata.labels?.[labels.peering],
  };
  return caches;
}

export type Caches = ReturnType<typeof createCaches>;

/**
 * What each peering's pods use. Counts pods that exist and those that were admitted a moment ago but that the cache
 * doesn't show yet, so that two at once cannot both get the last of a grant.
 */
export interface UsageTracker {
  /** Of all pods of the peering but the one named. */
  used(peering: string, exceptKey?: string): Usage;
  /** Counts a pod from now on, for a minute at most, until the cache shows it. */
  reserve(peering: string, key: string, usage: Usage): void;
  release(key: string): void;
}

const reservationMilliseconds = 60_000;

/** A ledger over the world. */
export function createUsageTracker(
  caches: Pick<Caches, 'pods' | 'peeringNameOfPod'>,
  now: () => number,
): UsageTracker {
  const reserved = new Map<string, { peering: string; usage: Usage; until: number }>();
  return {
    used(peering, exceptKey) {
      let sum = nothing;
      for (const pod of caches.pods.list()) {
        const key = keyOf(pod);
        // As ResourceQuota does: pods that have ended use nothing.
        if (key === exceptKey || pod.spec === undefined || isFinished(pod)) continue;
        if (caches.peeringNameOfPod(pod) === peering) sum = addUsage(sum, podUsage(pod.spec));
      }
      for (const [key, { peering: owner, usage, until }] of reserved) {
        if (caches.pods.byKey(key) !== undefined || until < now()) reserved.delete(key);
        else if (owner === peering && key !== exceptKey) sum = addUsage(sum, usage);
      }
      return sum;
    },
    reserve(peering, key, usage) {
      reserved.set(key, { peering, usage, until: now() + reservationMilliseconds });
    },
    release: (key) => void reserved.delete(key),
  };
}
