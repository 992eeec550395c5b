/**
 * Disconnected consumers: detection, and the consequences for their pods. Pure.
 *
 * The consumer renews a Lease in its tenant namespace while any of its namespaces uses StopAfter. Only changes of that Lease
 * count, timed by this cluster's clock. A stopped pod is recreated only when its reconnected consumer confirms it for this
 * stop: only the consumer knows whether the pod still exists or was replaced in the meantime.
 */
import type { Condition } from '../../shared/api/meta.ts';
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { type Finding } from '../../shared/conditions.ts';
import { annotations } from '../../shared/names.ts';
import type { Lease } from '../../shared/kube/types.ts';
import { reasons } from './names.ts';

export const presenceType = 'ConsumerPresent';

/** This process's observation of a consumer's Lease. */
export interface Observed {
  renewTime: string;
  /** When that renewal was first seen, by this cluster's clock; milliseconds since 1970. */
  at: number;
  /** Whether a renewal was seen since this process started. */
  renewed: boolean;
}

/** Bounds of the lease duration that the consumer may set. */
const leastSeconds = 15;
const mostSeconds = 300;
/** Default duration of `StopAfter`. */
export const defaultStopSeconds = 300;

const holds = (lease: Lease | undefined): lease is Lease =>
  (lease?.spec?.holderIdentity ?? '') !== '' && (lease?.spec?.renewTime ?? '') !== '';

/** The observation updated by the current Lease. */
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

/** The condition ConsumerPresent, and when it may change without a renewal. */
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
  /** The pod may run. `againAfterMilliseconds`: it must be stopped then. */
  | { action: 'Run'; againAfterMilliseconds?: number }
  /** The pod must be stopped: first record the stop, then end the pod. */
  | { action: 'Stop' }
  | { action: 'StayStopped' };

/** Decides about one pod. `presence`: the condition ConsumerPresent of its peering. */
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
