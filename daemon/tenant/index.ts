/** The provider's side of a peering: consumers' authorization and rights, and the pods that run for them. */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { findCondition } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { commonOptions, type ControllerContext } from '../kube/context.ts';
import { from, runController, triggers, type ControllerOptions, type Source } from '../kube/controller.ts';
import type { Informer } from '../../shared/kube/informer.ts';
import { keyOf } from '../../shared/kube/refs.ts';
import { fromAspect } from '../kube/relevant-changes.ts';
import { tryCounting } from './quota-probe.ts';
import { createServedEndpoints } from './endpoints.ts';
import { reconcileIncoming } from './incoming.ts';
import { tenantNamespaceOf } from './names.ts';
import { closedTexts } from './isolation.ts';
import { createByteCount, weighTenants } from './object-bytes.ts';
import { fullCounts } from './object-limits.ts';
import { reconcilePolicy } from './policies.ts';
import { runPolicyProbe } from './policy-probe.ts';
import { reconcilePresence } from './consumer-presence.ts';
import { createRefusals } from './refusals.ts';
import { createRestraints } from './restraints.ts';
import { recordOf } from './served-slice.ts';
import { reconcileShadowPod } from './shadow-pods.ts';
import { reconcileToken } from './tokens.ts';
import { reconcileTwin, twinsOfNamespace, twinsOfTenant } from './twin-namespaces.ts';
import { createUsageTracker, createCaches } from './caches.ts';

/** Runs the tenant feature until the signal is aborted. */
export async function runTenant(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const counted = new Set<string>();
  const caches = createCaches(context, counted);
  const peeringsToCount = triggers();
  const twinsToCount = triggers();
  const countAll = () => {
    for (const peering of caches.incoming.list()) peeringsToCount.trigger(peering.metadata.name);
    for (const twin of caches.twins.list()) twinsToCount.trigger(keyOf(twin));
  };
  const tracker = createUsageTracker(caches, () => context.clock.now());
  const refusals = createRefusals(context.clock, context.metrics);
  const restraints = createRestraints(context.clock, signal);
  const bytes = createByteCount(context, [
    caches.shadows,
    caches.policies,
    caches.slices,
    caches.twins,
  ] as Informer[]);
  weighTenants(caches, bytes, restraints);
  const endpoints = createServedEndpoints(context, caches, refusals, restraints);
  const run = (options: ControllerOptions) =>
    runController({ ...commonOptions(context), ...options }, signal);
  const peeringLabel = (object: { metadata: { labels?: Record<string, string> } }): string[] => {
    const name = object.metadata.labels?.[labels.peering];
    return name === undefined ? [] : [name];
  };
  /** Started only when all caches have synced, so that no decision is based on incomplete data. */
  const listed = (...informers: { synced(signal: AbortSignal): Promise<void> }[]): Source[] =>
    informers.map((informer) => ({ subscribe: () => () => {}, synced: (until) => informer.synced(until) }));

  /** Keys of tenants' twin namespaces, from names of peerings. */
  const twinsOfPeering = (source: Source): Source => ({
    subscribe: (enqueue) =>
      source.subscribe((name) => {
        const peering = caches.incoming.byKey(name);
        if (peering === undefined) return;
        for (const key of twinsOfTenant(caches, tenantNamespaceOf(peering))) enqueue(key);
      }),
    synced: (until) => source.synced(until),
  });

  /** Shadow pods refused by quota, when quota may have become free, and those that depend on the consumer's presence. */
  const refusedOf = (peering: string): string[] =>
    caches.shadows
      .list()
      .filter((shadow) => {
        const twin = caches.namespaces.byKey(shadow.metadata.namespace ?? '');
        return (
          twin?.metadata.labels?.[labels.peering] === peering &&
          (shadow.status?.stoppedAt !== undefined ||
            shadow.spec.onDisconnect?.policy === 'StopAfter' ||
            shadow.status?.conditions?.some((each) => each.type === 'Admitted' && each.status === 'False'))
        );
      })
      .map((shadow) => keyOf(shadow));

  /** ShadowPolicies of that consumer, or of all consumers. */
  const policiesOf = (consumer?: string): string[] =>
    caches.policies
      .list()
      .filter(({ metadata }) => {
        const twin = caches.namespaces.byKey(metadata.namespace ?? '');
        return consumer === undefined || twin?.metadata.labels?.[labels.origin] === consumer;
      })
      .map((policy) => keyOf(policy));

  /** All of them when the peering is removed, otherwise those that wait for quota. */
  const shadowsToSee = (peering: IncomingPeering): string[] =>
    peering.metadata.deletionTimestamp === undefined
      ? refusedOf(peering.metadata.name)
      : caches.shadows
          .list()
          .filter(
            (shadow) =>
              caches.peeringOfTwin(caches.namespaces.byKey(shadow.metadata.namespace ?? ''))?.metadata
                .name === peering.metadata.name,
          )
          .map((shadow) => keyOf(shadow));

  await Promise.all([
    runPolicyProbe(context, signal),
    tryCounting(context, counted, countAll, signal),
    run({
      name: 'tenant-incoming',
      sources: [
        from(caches.incoming),
        from(caches.namespaces, peeringLabel),
        from(caches.identities, peeringLabel),
        from(caches.pods, peeringLabel),
        from(caches.twins, (twin) => {
          const peering = caches.peeringOfTenant(twin.metadata.namespace ?? '');
          return peering === undefined ? [] : [peering.metadata.name];
        }),
        from(caches.dns, () => caches.incoming.list().map((peering) => peering.metadata.name)),
        // Every created object changes a quota's status; only exhaustion matters.
        fromAspect(caches.quotas, fullCounts, peeringLabel),
        peeringsToCount,
        refusals.source,
        restraints.source,
        ...listed(caches.outgoing, caches.remotes, bytes),
      ],
      reconcile: reconcileIncoming(context, caches, tracker, refusals, restraints),
    }),
    run({
      name: 'tenant-presence',
      sources: [
        from(caches.incoming),
        from(caches.leases, (lease) => {
          const peering = caches.peeringOfTenant(lease.metadata.namespace ?? '');
          return peering === undefined ? [] : [peering.metadata.name];
        }),
      ],
      reconcile: reconcilePresence(context, caches),
    }),
    run({
      name: 'tenant-twins',
      sources: [
        from(caches.twins),
        from(caches.namespaces, (namespace) => twinsOfNamespace(caches, namespace.metadata.name)),
        from(caches.incoming, (peering) => twinsOfTenant(caches, tenantNamespaceOf(peering))),
        from(caches.tunnels, (tunnel) =>
          caches.incoming
            .list()
            .filter((peering) => peering.spec.remoteCluster === tunnel.spec.remoteCluster)
            .flatMap((peering) => twinsOfTenant(caches, tenantNamespaceOf(peering))),
        ),
        // The deletion of a twin namespace waits for its last pod and its last shadow pod.
        from(caches.shadows, (shadow) =>
          shadow.metadata.deletionTimestamp === undefined
            ? []
            : twinsOfNamespace(caches, shadow.metadata.namespace ?? ''),
        ),
        from(caches.pods, (pod) =>
          pod.metadata.deletionTimestamp === undefined
            ? []
            : twinsOfNamespace(caches, pod.metadata.namespace ?? ''),
        ),
        twinsToCount,
        twinsOfPeering(restraints.source),
        // The usage of one twin namespace reduces the quota of the others.
        twinsOfPeering(fromAspect(caches.quotas, fullCounts, peeringLabel)),
        fromAspect(
          caches.twins,
          ({ status }) => status?.namespace,
          (twin) => twinsOfTenant(caches, twin.metadata.namespace ?? ''),
        ),
        ...listed(caches.quotas, bytes),
        fromAspect(
          caches.local,
          ({ status }) => findCondition(status?.conditions, 'NetworkPoliciesEnforced')?.message,
          () => caches.twins.list().map((twin) => keyOf(twin)),
        ),
      ],
      reconcile: reconcileTwin(context, caches, refusals, restraints, bytes),
    }),
    run({
      name: 'tenant-shadow-pods',
      concurrency: 16,
      sources: [
        from(caches.shadows),
        from(caches.pods, (pod) => [keyOf(pod)]),
        {
          subscribe: (enqueue) =>
            caches.pods.onChange((_key, pod, previous) => {
              const freed = pod === undefined || pod.status?.phase !== previous?.status?.phase;
              const peering = previous?.metadata.labels?.[labels.peering];
              if (freed && peering !== undefined) for (const key of refusedOf(peering)) enqueue(key);
            }),
          synced: (until) => caches.pods.synced(until),
        },
        from(caches.incoming, (peering) => shadowsToSee(peering)),
        from(caches.namespaces, (namespace) =>
          caches.shadows.listIn(namespace.metadata.name).map((shadow) => keyOf(shadow)),
        ),
        // The selected pods change once a policy is in force.
        fromAspect(
          caches.policies,
          ({ spec, status, metadata }) => [
            spec.podSelector,
            spec.policyTypes,
            findCondition(status?.conditions, 'Carried') === undefined,
            metadata.deletionTimestamp,
          ],
          ({ metadata }) => caches.shadows.listIn(metadata.namespace ?? '').map((shadow) => keyOf(shadow)),
        ),
      ],
      reconcile: reconcileShadowPod(context, caches, tracker, refusals),
    }),
    run({
      name: 'tenant-endpoints',
      sources: [
        from(caches.slices),
        // The consumer's ranges determine which endpoints are its own.
        fromAspect(
          caches.tunnels,
          (tunnel) => tunnel.spec.remaps,
          (tunnel) =>
            caches.slices
              .list()
              .filter(
                (slice) =>
                  caches.namespaces.byKey(slice.metadata.namespace ?? '')?.metadata.labels?.[
                    labels.origin
                  ] === tunnel.spec.remoteCluster,
              )
              .map((slice) => keyOf(slice)),
        ),
        // Changes of served slices by others are reverted.
        from(caches.served, (slice) => {
          const record = recordOf(slice);
          return record === undefined ? [] : [`${slice.metadata.namespace}/${record}`];
        }),
        endpoints.source,
        ...listed(caches.namespaces, caches.incoming, caches.pods, caches.local),
      ],
      reconcile: endpoints.reconcile,
    }),
    run({
      name: 'tenant-policies',
      sources: [
        from(caches.policies),
        from(caches.namespaces, (namespace) =>
          caches.policies.listIn(namespace.metadata.name).map((policy) => keyOf(policy)),
        ),
        fromAspect(
          caches.tunnels,
          (tunnel) => tunnel.spec.remaps,
          (tunnel) => policiesOf(tunnel.spec.remoteCluster),
        ),
        fromAspect(
          caches.local,
          (local) => closedTexts({ local }),
          () => policiesOf(),
        ),
        ...listed(caches.incoming),
      ],
      reconcile: reconcilePolicy(context, caches),
    }),
    run({
      name: 'tenant-tokens',
      sources: [from(caches.tokens)],
      reconcile: reconcileToken(context, caches),
    }),
  ]);
}
