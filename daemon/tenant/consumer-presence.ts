/** Whether each consumer is connected, from the Lease that it renews in its tenant namespace. */
import { findCondition } from '../../shared/conditions.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { applyStatus } from '../kube/status.ts';
import { evaluatePresence, observe, presenceType, type Observed } from './disconnect.ts';
import { tenantNamespaceOf } from './names.ts';
import type { Caches } from './caches.ts';
import { consumerLease } from '../../shared/names.ts';

/** Field manager of the condition ConsumerPresent. */
const fieldManager = 'hawser-tenant-presence';

/** The reconciler. Keys are names of IncomingPeerings. */
export function reconcilePresence(context: ControllerContext, caches: Caches) {
  const { kube, clock, events } = context;
  const seen = new Map<string, Observed>();
  return async (key: string, signal: AbortSignal): Promise<Result | void> => {
    const peering = caches.incoming.byKey(key);
    if (peering === undefined || peering.metadata.deletionTimestamp !== undefined) {
      seen.delete(key);
      return;
    }
    const lease = caches.leases.byKey(`${tenantNamespaceOf(peering)}/${consumerLease}`);
    const now = clock.now();
    const observed = observe(lease, seen.get(key), now);
    if (observed === undefined) seen.delete(key);
    else seen.set(key, observed);
    const before = findCondition(peering.status?.conditions, presenceType);
    const { finding, againAfterMilliseconds } = evaluatePresence(
      peering.spec.remoteCluster,
      lease,
      observed,
      before,
      now,
    );
    // A consumer without a Lease needs no condition.
    if (before !== undefined || finding.status !== 'Unknown')
      await applyStatus({ kube, fieldManager, object: peering, findings: [finding], now, events }, signal);
    if (againAfterMilliseconds !== undefined)
      return { requeueAfterMilliseconds: againAfterMilliseconds + 50 };
  };
}
