/** The caches of tenant/, and the usage tracker. */
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

/** The caches; accessing one starts its watch. `counted`: filled by `tryCounting`. */
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
    /** EndpointSlices written by consumers. They set the label, without which a policy refuses the slice. */
    slices: informer(kind.endpointSlice, { labelSelector: `${labels.reflected}=true` }),
    /** The slices that are served for them. */
    served: informer(kind.endpointSlice, { labelSelector: `${labels.served}=true` }),
    /** Metadata of identity Secrets only, without contents. */
    identities: informer(kind.secret, {
      labelSelector: `${labels.managedBy}=hawser,${labels.origin}`,
      fieldSelector: `metadata.name=${identitySecret}`,
      transform: {
        name: 'metadata',
        apply: ({ apiVersion, kind: name, metadata }) => ({ apiVersion, kind: name, metadata }),
      },
    }),
    /** Leases by which consumers report their presence. */
    leases: informer(kind.lease, { fieldSelector: `metadata.name=${consumerLease}` }),
    /** ResourceQuotas that count consumers' objects. */
    quotas: informer(kind.resourceQuota, { fieldSelector: `metadata.name=${objectQuotaName}` }),
    /** Endpoints of the cluster DNS. */
    dns: informer(kind.endpointSlice, {
      namespace: dnsNamespace,
      labelSelector: `kubernetes.io/service-name=${dnsService}`,
    }),
    /** Which of Hawser's own kinds Kubernetes can count: found by the quota probe, or from a quota that already counts them. */
    countable: (): Countable => new Set([...counted, ...caches.quotas.list().flatMap(countedOwn)]),
    /** The peering that owns a tenant namespace. */
    peeringOfTenant(tenant: string): IncomingPeering | undefined {
      return caches.incoming.list().find((peering) => tenantNamespaceOf(peering) === tenant);
    },
    /** The peering that a twin namespace belongs to, from labels that only this controller sets. */
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
 * Usage of each peering's pods. Counts existing pods and recently admitted ones that the cache doesn't show yet, so that two
 * concurrent admissions cannot both use the rest of a grant.
 */
export interface UsageTracker {
  /** Usage of all pods of the peering except the named one. */
  used(peering: string, exceptKey?: string): Usage;
  /** Counts a pod until the cache shows it, at most for a minute. */
  reserve(peering: string, key: string, usage: Usage): void;
  release(key: string): void;
}

const reservationMilliseconds = 60_000;

/** A usage tracker over the caches. */
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
        // As in ResourceQuota, finished pods use nothing.
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
