/** Reconciles TwinNamespaces: creates and removes the namespaces that stand for the consumer's. */
import type { TwinNamespace } from '../../shared/api/offloading.ts';
import { findCondition, type Finding } from '../../shared/conditions.ts';
import { isAuthorized } from '../../shared/incoming-peerings.ts';
import { labels, twinSuffix } from '../../shared/names.ts';
import { twinNameRules } from '../../shared/twin-names.ts';
import { createApplied } from '../kube/applied.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { ensureFinalizer, hasFinalizer, removeFinalizer } from '../kube/finalizers.ts';
import { isConflict, isNotFound } from '../../shared/kube/errors.ts';
import { keyOf, kind, refOf, splitKey } from '../../shared/kube/refs.ts';
import { applyStatus } from '../kube/status.ts';
import { fieldManager, ownerAnnotation, peeringLabels, reasons, tenantFinalizer } from './names.ts';
import type { ByteCount } from './object-bytes.ts';
import { mostTwins } from './object-limits.ts';
import type { Refusals } from './refusals.ts';
import type { Restraints } from './restraints.ts';
import { takeRights } from './revocation.ts';
import { nameProblem, twinNamespaceObject, twinObjects } from './twin-objects.ts';
import type { Caches } from './caches.ts';

/** Pods of a removed twin namespace get their own grace period, at most this. */
const graceSeconds = 5;
const podMilliseconds = 10_000;

const isOwnFinalizer = (name: string) => name === tenantFinalizer;

/** Whether the twin namespace exceeds the limit; the oldest ones stay. Pure. */
export function isBeyondLimit(twin: TwinNamespace, all: readonly TwinNamespace[], limit: number): boolean {
  if (all.length <= limit || twin.status?.namespace !== undefined) return false;
  const age = (each: TwinNamespace) => `${each.metadata.creationTimestamp ?? ''}/${each.metadata.name}`;
  return all.filter((each) => each.status?.namespace !== undefined || age(each) < age(twin)).length >= limit;
}

/** The reconciler. Keys are `tenant namespace/name` of TwinNamespaces. */
export function reconcileTwin(
  context: ControllerContext,
  caches: Caches,
  refusals: Refusals,
  restraints: Pick<Restraints, 'of'>,
  bytes: Pick<ByteCount, 'informers'>,
) {
  const { kube, clock, events } = context;

  const applied = createApplied(kube, fieldManager, clock);
  /** Scopes of twin namespaces in which a revoked consumer's rights were already removed. */
  const withoutRights = new Set<string>();

  const report = (twin: TwinNamespace, finding: Omit<Finding, 'type'>, signal: AbortSignal) =>
    applyStatus(
      {
        kube,
        fieldManager,
        object: twin,
        now: clock.now(),
        events,
        fields: { namespace: finding.status === 'True' ? twin.spec.namespace : undefined },
        findings: [
          { type: 'Bound', ...finding },
          {
            type: 'NameConflict',
            status:
              finding.reason === reasons.NameConflict ||
              finding.reason === reasons.NameReserved ||
              finding.reason === reasons.NameNotGranted
                ? 'True'
                : 'False',
            reason: finding.reason,
            message: finding.message,
          },
          ...enforcement(),
        ],
      },
      signal,
    );

  /** The condition of this cluster's CNI, reported to the consumer. */
  const enforcement = (): Finding[] => {
    const known = findCondition(caches.local.byKey('self')?.status?.conditions, 'NetworkPoliciesEnforced');
    return known === undefined
      ? []
      : [{ type: known.type, status: known.status, reason: known.reason, message: known.message }];
  };

  async function bind(twin: TwinNamespace, signal: AbortSignal): Promise<Result | void> {
    const peering = caches.peeringOfTenant(twin.metadata.namespace ?? '');
    if (peering === undefined || peering.metadata.deletionTimestamp !== undefined) {
      await report(
        twin,
        {
          status: 'False',
          reason: reasons.NoPeering,
          message: 'no incoming peering exists for this twin namespace',
        },
        signal,
      );
      return;
    }
    const name = twin.spec.namespace;
    const limit = mostTwins(peering.spec.grant);
    if (isBeyondLimit(twin, caches.twins.listIn(twin.metadata.namespace ?? ''), limit)) {
      const message = `the grant allows ${limit} twin namespaces; end the offloading of another namespace first`;
      refusals.note(peering, 'Twin', twin.metadata.uid ?? '', `namespace ${name}: ${message}`);
      await report(twin, { status: 'False', reason: reasons.TooMany, message }, signal);
      return { requeueAfterMilliseconds: 60_000 };
    }
    const present = await kube.get({ kind: kind.namespace, name }, signal);
    const { remoteCluster, peering: own, grant } = peering.spec;
    const others = caches.incoming
      .list()
      .filter(({ metadata }) => metadata.uid !== peering.metadata.uid)
      .map(({ spec }) => twinSuffix(spec.remoteCluster, spec.peering));
    const problem = nameProblem(twin, present, twinNameRules(remoteCluster, own, grant), others);
    if (problem !== undefined) {
      refusals.note(peering, 'Twin', twin.metadata.uid ?? '', problem.message);
      await report(twin, { status: 'False', ...problem }, signal);
      // The other namespace is not watched, and may be deleted later.
      return { requeueAfterMilliseconds: present?.metadata.deletionTimestamp === undefined ? 30_000 : 500 };
    }
    if (present?.metadata.deletionTimestamp !== undefined) {
      const message = `namespace ${name} is being deleted; it is recreated afterwards`;
      await report(twin, { status: 'False', reason: reasons.Preparing, message }, signal);
      return { requeueAfterMilliseconds: 500 };
    }
    // Created or already its own, never taken over: a concurrent creation is found by the next reconcile.
    const { uid = '' } = (
      present ?? (await kube.create(twinNamespaceObject(twin, peering), signal, { fieldManager }))
    ).metadata;
    const scope = `${twin.metadata.uid}/${uid}`;
    if (present !== undefined) await applied.apply(scope, [twinNamespaceObject(twin, peering, uid)], signal);
    const network = {
      local: caches.local.byKey('self'),
      tunnel: caches.tunnels.byKey(peering.spec.remoteCluster),
    };
    if (!isAuthorized(peering) && !withoutRights.has(scope)) {
      // Objects that were applied while the consumer was revoked.
      await takeRights(kube, [name], signal);
      applied.forget(scope);
      withoutRights.add(scope);
    }
    if (isAuthorized(peering)) withoutRights.delete(scope);
    const tenant = twin.metadata.namespace;
    const label = peeringLabels(peering)[labels.peering];
    const quotas = caches.quotas
      .list()
      .filter(({ metadata }) => metadata.namespace !== tenant && metadata.labels?.[labels.peering] === label);
    const view = {
      quota: quotas.find(({ metadata }) => metadata.namespace === name),
      otherQuotas: quotas.filter(({ metadata }) => metadata.namespace !== name),
      restraints: restraints.of(peering),
    };
    await applied.apply(scope, twinObjects(twin, peering, network, caches.countable(), view), signal);
    await report(
      twin,
      {
        status: 'True',
        reason: reasons.Ready,
        message: `namespace ${name} is the twin of ${twin.spec.sourceNamespace}`,
      },
      signal,
    );
  }

  /** Ends its pods first: Kubernetes takes much longer to delete a namespace with terminating pods. */
  async function empty(namespace: string, deadlineAt: number, signal: AbortSignal): Promise<boolean> {
    const shadows = caches.shadows.listIn(namespace);
    await stripFinalizers(namespace, signal);
    const pods = caches.pods.listIn(namespace);
    await Promise.all(
      shadows
        .filter((shadow) => shadow.metadata.deletionTimestamp === undefined)
        .map((shadow) => kube.delete(refOf(shadow), { uid: shadow.metadata.uid ?? '' }, signal)),
    );
    const shorten = pods.filter(
      (pod) =>
        pod.metadata.deletionTimestamp === undefined ||
        (pod.metadata.deletionGracePeriodSeconds ?? 0) > graceSeconds,
    );
    await Promise.all(
      shorten.map((pod) => {
        const own = pod.spec?.terminationGracePeriodSeconds ?? 30;
        return kube.delete(
          refOf(pod),
          { uid: pod.metadata.uid ?? '', gracePeriodSeconds: Math.max(1, Math.min(own, graceSeconds)) },
          signal,
        );
      }),
    );
    return (shadows.length === 0 && pods.length === 0) || clock.now() >= deadlineAt;
  }

  /** Deletes the consumer's objects with the twin namespace, removing any finalizers on them. */
  async function stripFinalizers(namespace: string, signal: AbortSignal): Promise<void> {
    const held = bytes.informers
      .flatMap((informer) => informer.listIn(namespace))
      .filter(({ metadata }) => metadata.finalizers?.some((each) => !isOwnFinalizer(each)));
    await Promise.all(
      held.map(async (object) => {
        const finalizers = object.metadata.finalizers?.filter((each) => isOwnFinalizer(each));
        const patch = { metadata: { uid: object.metadata.uid, finalizers } };
        await kube
          .patch(refOf(object), patch, { type: 'merge', fieldManager }, signal)
          .catch((error: unknown) => {
            if (!isNotFound(error) && !isConflict(error)) throw error;
          });
      }),
    );
  }

  async function release(twin: TwinNamespace, signal: AbortSignal): Promise<Result | void> {
    if (!hasFinalizer(twin, tenantFinalizer)) return;
    const name = twin.spec.namespace;
    const ref = { kind: kind.namespace, name };
    const present = await kube.get(ref, signal);
    if (present !== undefined && present.metadata.annotations?.[ownerAnnotation] === twin.metadata.uid) {
      const deadlineAt = Date.parse(twin.metadata.deletionTimestamp ?? '') + podMilliseconds;
      const isEmpty = await empty(name, deadlineAt, signal);
      if (!isEmpty) return { requeueAfterMilliseconds: 250 };
      if (present.metadata.deletionTimestamp === undefined) {
        await kube.delete(ref, { uid: present.metadata.uid ?? '' }, signal);
      }
    }
    // Kubernetes completes the namespace's deletion some seconds later; the peering's removal waits for that.
    await removeFinalizer(kube, twin, tenantFinalizer, signal);
  }

  return async (key: string, signal: AbortSignal): Promise<Result | void> => {
    const twin = caches.twins.byKey(key);
    if (twin === undefined) return;
    if (twin.metadata.deletionTimestamp !== undefined) return release(twin, signal);
    const kept = await ensureFinalizer(kube, twin, tenantFinalizer, signal);
    return kept && bind(kept, signal);
  };
}

/** TwinNamespaces for the namespace of that name. */
export function twinsOfNamespace(caches: Caches, namespace: string): string[] {
  return caches.twins
    .list()
    .filter((twin) => twin.spec.namespace === namespace)
    .map((twin) => keyOf(twin));
}

/** TwinNamespaces of a peering's tenant namespace. */
export function twinsOfTenant(caches: Caches, tenant: string): string[] {
  return caches.twins.listIn(tenant).map((twin) => keyOf(twin));
}

/** Name of the tenant namespace in a TwinNamespace's key. */
export const tenantOfKey = (key: string): string => splitKey(key).namespace ?? '';
