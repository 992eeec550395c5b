/** Reconciles IncomingPeerings: creates everything that a consumer needs here, and removes it at the end. */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { isTrue } from '../../shared/conditions.ts';
import { isRevoked } from '../../shared/incoming-peerings.ts';
import { labels } from '../../shared/names.ts';
import { createApplied } from '../kube/applied.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { isAlreadyExists } from '../../shared/kube/errors.ts';
import { ensureFinalizer, hasFinalizer, removeFinalizer } from '../kube/finalizers.ts';
import { isUnreferenced } from '../peers/references.ts';
import { kind, refOf } from '../../shared/kube/refs.ts';
import { recordResidue } from '../peers/residue.ts';
import { applyStatus } from '../kube/status.ts';
import {
  fieldManager,
  identitySecret,
  ownerAnnotation,
  peeringLabels,
  reasons,
  tenantFinalizer,
  tenantNamespaceOf,
} from './names.ts';
import { incomingFindings } from './incoming-findings.ts';
import { dnsFinding } from './name-resolution.ts';
import { fullCounts, objectsFinding } from './object-limits.ts';
import type { Refusals } from './refusals.ts';
import type { Restraints } from './restraints.ts';
import { namespacesOf, putOut } from './revocation.ts';
import { identitySecretObject, tenantNamespaceObject, tenantObjects } from './tenant-objects.ts';
import { shownUsage } from './usage.ts';
import type { UsageTracker, Caches } from './caches.ts';

/** A deletion waits this long for twin namespaces to be deleted, then completes and reports the residue. */
export const deletionMilliseconds = 30_000;

/** Whether this peering was revoked by deleting its identity Secret; it then stays revoked until a new token. */
export function isPutOut(peering: IncomingPeering, secretExists: boolean): boolean {
  const conditions = peering.status?.conditions;
  if (isTrue(conditions, 'Revoked')) return isRevoked(peering);
  return !secretExists && isTrue(conditions, 'TenantReady');
}

/** The reconciler. Keys are names of IncomingPeerings. */
export function reconcileIncoming(
  context: ControllerContext,
  caches: Caches,
  tracker: UsageTracker,
  refusals: Refusals,
  restraints: Pick<Restraints, 'of'>,
) {
  const { kube, clock, events, namespace: hawserNamespace } = context;

  const applied = createApplied(kube, fieldManager, clock);
  /** UIDs of peerings that are being removed and whose consumers' rights were already removed. */
  const outAlready = new Set<string>();

  const quotasOf = (peering: IncomingPeering) =>
    caches.quotas
      .list()
      .filter(({ metadata }) => metadata.labels?.[labels.peering] === peeringLabels(peering)[labels.peering]);
  /** By UID of the peering: which quotas were exhausted at the last reconcile. */
  const fullBefore = new Map<string, ReadonlySet<string>>();
  /** Counts newly exhausted quotas; only the API server knows how many requests it refused. */
  const countFull = (peering: IncomingPeering) => {
    const { uid = '' } = peering.metadata;
    const full = new Set(
      quotasOf(peering).flatMap((quota) =>
        fullCounts(quota).map(([name]) => `${quota.metadata.namespace}/${name}`),
      ),
    );
    for (const each of full) {
      if (!fullBefore.get(uid)?.has(each)) refusals.note(peering, 'Object', `${each}/${clock.now()}`, each);
    }
    fullBefore.set(uid, full);
  };

  async function prepare(peering: IncomingPeering, signal: AbortSignal): Promise<Result | void> {
    const tenant = tenantNamespaceOf(peering);
    const present =
      caches.namespaces.byKey(tenant) ?? (await kube.get({ kind: kind.namespace, name: tenant }, signal));
    const owner = present?.metadata.annotations?.[ownerAnnotation];
    let problem: string | undefined;
    let retry: Result | void = undefined;
    if (present !== undefined && owner !== peering.metadata.uid) {
      if (present.metadata.deletionTimestamp !== undefined) {
        problem = `waiting for the tenant namespace ${tenant} of an earlier peering to be deleted`;
        retry = { requeueAfterMilliseconds: 250 };
      } else {
        problem = `namespace ${tenant} exists, but was not created for this peering; delete it`;
        retry = { requeueAfterMilliseconds: 10_000 };
      }
    }
    const secretKnown = caches.identities.byKey(`${tenant}/${identitySecret}`) !== undefined;
    let revoked = isPutOut(peering, secretKnown);
    if (problem === undefined) {
      // Created or already its own, never taken over: a concurrent creation is found by the next reconcile.
      const { uid = '' } = (
        present ?? (await kube.create(tenantNamespaceObject(peering), signal, { fieldManager }))
      ).metadata;
      const scope = `${peering.metadata.uid}/${uid}`;
      if (present !== undefined) await applied.apply(scope, [tenantNamespaceObject(peering, uid)], signal);
      const ensureSecret = async () => {
        // The cache may be stale, so the API server is queried.
        const secret = await kube.get(refOf(identitySecretObject(peering)), signal);
        revoked = isPutOut(peering, secret !== undefined);
        if (secret !== undefined || revoked) return;
        await kube.create(identitySecretObject(peering), signal, { fieldManager }).catch((error: unknown) => {
          if (!isAlreadyExists(error)) throw error;
        });
      };
      // Revocation must be known before rights are granted; a new peering is not revoked.
      const beginning = !isTrue(peering.status?.conditions, 'TenantReady') && !revoked;
      if (!secretKnown && !beginning) await ensureSecret();
      if (revoked && !isRevoked(peering)) {
        await putOut(kube, peering, namespacesOf(caches, peering), signal);
        applied.forget(scope);
      }
      await Promise.all([
        applied.apply(scope, tenantObjects(peering, hawserNamespace, !revoked, caches.countable()), signal),
        ...(!secretKnown && beginning ? [ensureSecret()] : []),
      ]);
    }
    countFull(peering);
    if (restraints.of(peering).includes('Bytes'))
      refusals.note(peering, 'Bytes', 'budget', 'more bytes of objects than it may keep here');
    const used = tracker.used(peering.metadata.name);
    const { finding: refused, againAfterMilliseconds } = refusals.finding(peering);
    await applyStatus(
      {
        kube,
        fieldManager,
        object: peering,
        now: clock.now(),
        events,
        fields: {
          tenantNamespace: tenant,
          identitySecretName: identitySecret,
          used: shownUsage(used, peering.spec.grant),
          revokedTokenName: revoked ? (peering.spec.tokenName ?? '') : undefined,
        },
        findings: [
          ...incomingFindings(peering, { revoked, problem, used }),
          objectsFinding(peering, quotasOf(peering), restraints.of(peering)),
          dnsFinding(caches.dns.list()),
          refused,
        ],
      },
      signal,
    );
    return (
      retry ??
      (againAfterMilliseconds === undefined
        ? undefined
        : { requeueAfterMilliseconds: againAfterMilliseconds })
    );
  }

  async function remove(peering: IncomingPeering, signal: AbortSignal): Promise<Result | void> {
    if (!hasFinalizer(peering, tenantFinalizer)) return;
    const tenant = tenantNamespaceOf(peering);
    const twins = caches.twins.listIn(tenant);
    const namespaces = namespacesOf(caches, peering).filter((name) => name !== tenant);
    const deadlineAt = Date.parse(peering.metadata.deletionTimestamp ?? '') + deletionMilliseconds;
    const namespaceRef = { kind: kind.namespace, name: tenant };
    const present = await kube.get(namespaceRef, signal);
    const ours = present?.metadata.annotations?.[ownerAnnotation] === peering.metadata.uid;
    const over = clock.now() >= deadlineAt;
    const left = [...namespaces, ...(ours ? [tenant] : [])].sort();
    // First the consumer loses all access. Its spent token is deleted too, since its redeemer could request the same answer
    // again.
    const { tokenName } = peering.spec;
    if (!outAlready.has(peering.metadata.uid ?? '')) {
      await Promise.all([
        ...(ours ? [putOut(kube, peering, namespaces, signal)] : []),
        ...(tokenName === undefined
          ? []
          : [
              kube.delete(
                { kind: kind.peeringToken, namespace: hawserNamespace, name: tokenName },
                {},
                signal,
              ),
            ]),
      ]);
      outAlready.add(peering.metadata.uid ?? '');
    }
    if (ours) {
      await Promise.all(
        twins
          .filter((twin) => twin.metadata.deletionTimestamp === undefined)
          .map((twin) => kube.delete(refOf(twin), { uid: twin.metadata.uid ?? '' }, signal)),
      );
      if (twins.length === 0 && present?.metadata.deletionTimestamp === undefined) {
        await kube.delete(namespaceRef, { uid: present?.metadata.uid ?? '' }, signal);
      }
    }
    if (left.length > 0 && !over) {
      await applyStatus(
        {
          kube,
          fieldManager,
          object: peering,
          now: clock.now(),
          fields: {
            tenantNamespace: tenant,
            identitySecretName: identitySecret,
          },
          findings: [
            {
              type: 'Ready',
              status: 'False',
              reason: reasons.Deleting,
              message: `removing; waiting for the deletion of ${left.slice(0, 10).join(', ')}`,
            },
          ],
        },
        signal,
      );
      return { requeueAfterMilliseconds: Math.min(1000, Math.max(50, deadlineAt - clock.now())) };
    }
    if (left.length > 0) {
      const residue = left
        .slice(0, 64)
        .map(
          (name) =>
            `namespace ${name} is still being deleted; kubectl get namespace ${name} -o yaml shows what it waits for`,
        );
      await recordResidue(kube, hawserNamespace, peering, residue, clock.now(), signal);
      events.emit(
        peering,
        'Warning',
        'Residue',
        `the peering is removed; objects still being deleted: ${left.join(', ').slice(0, 900)}`,
      );
    }
    const remote = peering.spec.remoteCluster;
    const others = [...caches.incoming.list(), ...caches.outgoing.list()];
    if (isUnreferenced(remote, others, peering.metadata.uid)) {
      await kube.delete({ kind: kind.remoteCluster, name: remote }, {}, signal);
    }
    await removeFinalizer(kube, peering, tenantFinalizer, signal);
    outAlready.delete(peering.metadata.uid ?? '');
    fullBefore.delete(peering.metadata.uid ?? '');
  }

  return async (key: string, signal: AbortSignal): Promise<Result | void> => {
    const peering = caches.incoming.byKey(key);
    if (peering === undefined) return;
    if (peering.metadata.deletionTimestamp !== undefined) return remove(peering, signal);
    const kept = await ensureFinalizer(kube, peering, tenantFinalizer, signal);
    if (kept === undefined) return;
    return prepare(kept, signal);
  };
}
