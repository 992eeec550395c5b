/** Reconciles each ShadowPolicy: creates the provider's NetworkPolicy for it. */
import { carriedFinding, carriedPolicy } from './carried-policies.ts';
import { createApplied } from '../kube/applied.ts';
import type { ControllerContext } from '../kube/context.ts';
import { isInvalid, messageOf } from '../../shared/kube/errors.ts';
import { applyStatus } from '../kube/status.ts';
import { fieldManager, reasons } from './names.ts';
import type { Caches } from './caches.ts';

/** The reconciler. Keys are `twin/name` of ShadowPolicies; the owner reference deletes the NetworkPolicy with its record. */
export function reconcilePolicy(context: ControllerContext, caches: Caches) {
  const { kube, clock, events } = context;
  const applied = createApplied(kube, fieldManager, clock);

  return async (key: string, signal: AbortSignal): Promise<void> => {
    const shadow = caches.policies.byKey(key);
    if (shadow === undefined || shadow.metadata.deletionTimestamp !== undefined) {
      applied.forget(key);
      return;
    }
    const peering = caches.peeringOfTwin(caches.namespaces.byKey(shadow.metadata.namespace ?? ''));
    if (peering === undefined || peering.metadata.deletionTimestamp !== undefined) return;
    const network = {
      local: caches.local.byKey('self'),
      tunnel: caches.tunnels.byKey(peering.spec.remoteCluster),
    };
    const { policy, cut } = carriedPolicy(shadow, peering, network);
    let finding = carriedFinding(cut);
    try {
      await applied.apply(key, [policy], signal);
    } catch (error) {
      if (!isInvalid(error)) throw error;
      const message = `the provider’s API server refuses it: ${messageOf(error).slice(0, 900)}`;
      finding = { type: finding.type, status: 'False', reason: reasons.NotAdmitted, message };
    }
    await applyStatus(
      { kube, fieldManager, object: shadow, findings: [finding], now: clock.now(), events },
      signal,
    );
  };
}
