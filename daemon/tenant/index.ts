/** The provider's side of a peering: who is let in, with what rights, and the pods that are run for them. */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { findCondition } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import type { ControllerContext } from '../kube/context.ts';
import { from, runController, triggers, type ControllerOptions, type Source } from '../kube/controller.ts';
import { keyOf } from '../kube/refs.ts';
import { fromAspect } from '../kube/relevant-changes.ts';
import { tryCounting } from './quota-probe.ts';
import { reconcileEndpoints } from './endpoints.ts';
import { reconcileIncoming } from './incoming.ts';
import { tenantNamespaceOf } from './names.ts';
import { closedRanges } from './isolation.ts';
import { fullCounts } from './object-limits.ts';
import { reconcilePolicy } from './policies.ts';
import { runPolicyTrials } from './policy-probe.ts';
import { reconcilePresence } from './consumer-presence.ts';
import { createRefusals } from './refusals.ts';
import { reconcileShadowPod } from './shadow-pods.ts';
import { reconcileToken } from './tokens.ts';
import { reconcileTwin, twinsOfNamespace, twinsOfTenant } from './twin-namespaces.ts';
import { createLedger, createWorld } from './caches.ts';

/** Runs the tenant feature until the signal is aborted. */
export async function runTenant(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const counted = new Set<string>();
  const world = createWorld(context, counted);
  const peeringsToCount = triggers();
  const twinsToCount = triggers();
  const countAll = () => {
    for (const peering of world.incoming.list()) peeringsToCount.trigger(peering.metadata.name);
    for (const twin of world.twins.list()) twinsToCount.trigger(keyOf(twin));
  };
  const ledger = createLedger(world, () => context.clock.now());
  const refusals = createRefusals(context.clock, context.metrics);
  const common = {
    log: context.log,
    clock: context.clock,
    ...(context.metrics && { metrics: context.metrics }),
  };
  const run = (options: Omit<ControllerOptions, keyof typeof common>) =>
    runController({ ...common, ...options }, signal);
  const peeringLabel = (object: { metadata: { labels?: Record<string, string> } }): string[] => {
    const name = object.metadata.labels?.[labels.peering];
    return name === undefined ? [] : [name];
  };
  /** Started only when everything that is read has been listed once: nothing is decided on half a world. */
  const listed = (...informers: { synced(signal: AbortSignal): Promise<void> }[]): Source[] =>
    informers.map((informer) => ({ subscribe: () => () => {}, synced: (until) => informer.synced(until) }));

  /** Shadows that were refused for want of room, when room may have come, and those that depend on the consumer's presence. */
  const refusedOf = (peering: string): string[] =>
    world.shadows
      .list()
      .filter((shadow) => {
        const twin = world.namespaces.byKey(shadow.metadata.namespace ?? '');
        return (
          twin?.metadata.labels?.[labels.peering] === peering &&
          (shadow.status?.stoppedAt !== undefined ||
            shadow.spec.onDisconnect?.policy === 'StopAfter' ||
            shadow.status?.conditions?.some((each) => each.type === 'Admitted' && each.status === 'False'))
        );
      })
      .map((shadow) => keyOf(shadow));

  /** Records of policies of that consumer, or of all. */
  const policiesOf = (consumer?: string): string[] =>
    world.policies
      .list()
      .filter(({ metadata }) => {
        const twin = world.namespaces.byKey(metadata.namespace ?? '');
        return consumer === undefined || twin?.metadata.labels?.[labels.origin] === consumer;
      })
      .map((policy) => keyOf(policy));

  /** All of them when the peering goes, otherwise those that wait for more. */
  const shadowsToSee = (peering: IncomingPeering): string[] =>
    peering.metadata.deletionTimestamp === undefined
      ? refusedOf(peering.metadata.name)
      : world.shadows
          .list()
          .filter(
            (shadow) =>
              world.peeringOfTwin(world.namespaces.byKey(shadow.metadata.namespace ?? ''))?.metadata.name ===
              peering.metadata.name,
          )
          .map((shadow) => keyOf(shadow));

  await Promise.all([
    runPolicyTrials(context, signal),
    tryCounting(context, counted, countAll, signal),
    run({
      name: 'tenant-incoming',
      sources: [
        from(world.incoming),
        from(world.namespaces, peeringLabel),
        from(world.identities, peeringLabel),
        from(world.pods, peeringLabel),
        from(world.twins, (twin) => {
          const peering = world.peeringOfTenant(twin.metadata.namespace ?? '');
          return peering === undefined ? [] : [peering.metadata.name];
        }),
        from(world.dns, () => world.incoming.list().map((peering) => peering.metadata.name)),
        // Every object that is made changes a quota's status; only what is full by it matters.
        fromAspect(world.quotas, fullCounts, peeringLabel),
        peeringsToCount,
        refusals.source,
        ...listed(world.outgoing, world.remotes),
      ],
      reconcile: reconcileIncoming(context, world, ledger, refusals),
    }),
    run({
      name: 'tenant-presence',
      sources: [
        from(world.incoming),
        from(world.leases, (lease) => {
          const peering = world.peeringOfTenant(lease.metadata.namespace ?? '');
          return peering === undefined ? [] : [peering.metadata.name];
        }),
      ],
      reconcile: reconcilePresence(context, world),
    }),
    run({
      name: 'tenant-twins',
      sources: [
        from(world.twins),
        from(world.namespaces, (namespace) => twinsOfNamespace(world, namespace.metadata.name)),
        from(world.incoming, (peering) => twinsOfTenant(world, tenantNamespaceOf(peering))),
        from(world.tunnels, (tunnel) =>
          world.incoming
            .list()
            .filter((peering) => peering.spec.remoteCluster === tunnel.spec.remoteCluster)
            .flatMap((peering) => twinsOfTenant(world, tenantNamespaceOf(peering))),
        ),
        // While a twin is being emptied, its last pod and its last shadow are what is waited for.
        from(world.shadows, (shadow) =>
          shadow.metadata.deletionTimestamp === undefined
            ? []
            : twinsOfNamespace(world, shadow.metadata.namespace ?? ''),
        ),
        from(world.pods, (pod) =>
          pod.metadata.deletionTimestamp === undefined
            ? []
            : twinsOfNamespace(world, pod.metadata.namespace ?? ''),
        ),
        twinsToCount,
        ...listed(world.quotas),
        fromAspect(
          world.local,
          ({ status }) => findCondition(status?.conditions, 'NetworkPoliciesEnforced')?.message,
          () => world.twins.list().map((twin) => keyOf(twin)),
        ),
      ],
      reconcile: reconcileTwin(context, world, refusals),
    }),
    run({
      name: 'tenant-shadow-pods',
      concurrency: 16,
      sources: [
        from(world.shadows),
        from(world.pods, (pod) => [keyOf(pod)]),
        {
          subscribe: (enqueue) =>
            world.pods.onChange((_key, pod, previous) => {
              const freed = pod === undefined || pod.status?.phase !== previous?.status?.phase;
              const peering = previous?.metadata.labels?.[labels.peering];
              if (freed && peering !== undefined) for (const key of refusedOf(peering)) enqueue(key);
            }),
          synced: (until) => world.pods.synced(until),
        },
        from(world.incoming, (peering) => shadowsToSee(peering)),
        from(world.namespaces, (namespace) =>
          world.shadows.listIn(namespace.metadata.name).map((shadow) => keyOf(shadow)),
        ),
        // Which pods they select, once they are in force.
        fromAspect(
          world.policies,
          ({ spec, status, metadata }) => [
            spec.podSelector,
            spec.policyTypes,
            findCondition(status?.conditions, 'Carried') === undefined,
            metadata.deletionTimestamp,
          ],
          ({ metadata }) => world.shadows.listIn(metadata.namespace ?? '').map((shadow) => keyOf(shadow)),
        ),
      ],
      reconcile: reconcileShadowPod(context, world, ledger, refusals),
    }),
    run({
      name: 'tenant-endpoints',
      sources: [
        from(world.slices),
        // Its ranges decide which of its endpoints are its own.
        fromAspect(
          world.tunnels,
          (tunnel) => tunnel.spec.remaps,
          (tunnel) =>
            world.slices
              .list()
              .filter(
                (slice) =>
                  world.namespaces.byKey(slice.metadata.namespace ?? '')?.metadata.labels?.[labels.origin] ===
                  tunnel.spec.remoteCluster,
              )
              .map((slice) => keyOf(slice)),
        ),
        ...listed(world.namespaces, world.incoming, world.pods, world.local),
      ],
      reconcile: reconcileEndpoints(context, world, refusals),
    }),
    run({
      name: 'tenant-policies',
      sources: [
        from(world.policies),
        from(world.namespaces, (namespace) =>
          world.policies.listIn(namespace.metadata.name).map((policy) => keyOf(policy)),
        ),
        fromAspect(
          world.tunnels,
          (tunnel) => tunnel.spec.remaps,
          (tunnel) => policiesOf(tunnel.spec.remoteCluster),
        ),
        fromAspect(
          world.local,
          (local) => closedRanges({ local }),
          () => policiesOf(),
        ),
        ...listed(world.incoming),
      ],
      reconcile: reconcilePolicy(context, world),
    }),
    run({
      name: 'tenant-tokens',
      sources: [from(world.tokens)],
      reconcile: reconcileToken(context, world),
    }),
  ]);
}
