/**
 * A consumer that is away: how that is known, and what becomes of its pods. Pure.
 *
 * The consumer renews a Lease in its tenant namespace while any of its namespaces asks for StopAfter. Only changes of that
 * Lease count, and only by this cluster's clock. A pod that was stopped is made again only when its consumer, back and
 * heard of, says so for this very stop: it alone knows whether the pod still exists, or was replaced meanwhile.
 */
import type { Condition } from '../../shared/api/meta.ts';
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { type Finding } from '../../shared/conditions.ts';
import { annotations } from '../../shared/names.ts';
import type { Lease } from '../../shared/kube/types.ts';
import { reasons } from './names.ts';

export const presenceType = 'ConsumerPresent';

/** What this process saw of a consumer's Lease. */
export interface Observed {
  renewTime: string;
  /** Milliseconds since 1970, by this cluster's clock: when that renewal was first seen. */
  at: number;
  /** Whether a renewal was seen, and not just what was there when this process began. */
  renewed: boolean;
}

/** The consumer's own idea of its lease is taken within these bounds. */
const leastSeconds = 15;
const mostSeconds = 300;
/** `StopAfter` that doesn't say after how long. */
export const defaultStopSeconds = 300;

const holds = (lease: Lease | undefined): lease is Lease =>
  (lease?.spec?.holderIdentity ?? '') !== '' && (lease?.spec?.renewTime ?? '') !== '';

/** What is known after another look at the Lease. */
export function observe(
  lease: Lease | undefined,
  before: Observed | undefined,
  now: number,
): Observed | undefined {
  if (!holds(lease)) return undefined;
  const renewTime = lease.spec?.renewTime ?? '';
  if (before?.renewTime === renewTime) return before;
  return { renewTime, at: now, renewed: before !== undefined };
}

/** The condition ConsumerPresent, and when it may turn without anything being heard. */
export function evaluatePresence(
  consumer: string,
  lease: Lease | undefined,
  observed: Observed | undefined,
  before: Condition | undefined,
  now: number,
): { finding: Finding; againAfterMilliseconds: number | undefined } {
  const finding = (status: Finding['status'], reason: string, message: string): Finding => ({
    type: presenceType,
    status,
    reason,
    message,
  });
  if (observed === undefined || !holds(lease)) {
    return {
      finding: finding(
        'Unknown',
        reasons.PresenceNotShown,
        `${consumer} does not report its presence, and requests no action while it is disconnected`,
      ),
      againAfterMilliseconds: undefined,
    };
  }
  const seconds = Math.min(
    mostSeconds,
    Math.max(leastSeconds, lease.spec?.leaseDurationSeconds ?? leastSeconds),
  );
  const left = observed.at + seconds * 1000 - now;
  // The Lease found at the start of this process shows neither presence nor absence.
  const stillAway = before?.status === 'False' && !observed.renewed;
  if (left > 0 && !stillAway) {
    return {
      finding: finding('True', reasons.ConsumerPresent, `${consumer} is connected`),
      againAfterMilliseconds: left,
    };
  }
  return {
    finding: finding(
      'False',
      reasons.ConsumerAway,
      `no heartbeat from ${consumer} for at least ${seconds} s; pods with the policy StopAfter are stopped, all others keep running`,
    ),
    againAfterMilliseconds: undefined,
  };
}

export type DisconnectPlan =
  /** Nothing stands in the pod's way. `againAfterMilliseconds`: it is to be stopped then. */
  | { action: 'Run'; againAfterMilliseconds?: number }
  /** It was not stopped yet: note that first, then end the pod. */
  | { action: 'Stop' }
  | { action: 'StayStopped' };

/** What becomes of one pod. `presence`: the condition ConsumerPresent of its peering. */
export function planDisconnect(
  shadow: Pick<ShadowPod, 'metadata' | 'spec' | 'status'>,
  presence: Condition | undefined,
  now: number,
): DisconnectPlan {
  const away = presence?.status === 'False';
  const stoppedAt = shadow.status?.stoppedAt;
  if (stoppedAt !== undefined) {
    const vouched = shadow.metadata.annotations?.[annotations.resume] === stoppedAt;
    return vouched && !away ? { action: 'Run' } : { action: 'StayStopped' };
  }
  const { policy, seconds = defaultStopSeconds } = shadow.spec.onDisconnect ?? { policy: 'Keep' };
  if (!away || policy !== 'StopAfter') return { action: 'Run' };
  const left = Date.parse(presence.lastTransitionTime) + seconds * 1000 - now;
  return left > 0 ? { action: 'Run', againAfterMilliseconds: left } : { action: 'Stop' };
}
