/** PeeringTokens: whether they can be redeemed, and when they are deleted. */
import type { PeeringToken } from '../../shared/api/peerings.ts';
import type { Finding } from '../../shared/conditions.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { refOf } from '../../shared/kube/refs.ts';
import { applyStatus } from '../kube/status.ts';
import { fieldManager, reasons } from './names.ts';
import type { Caches } from './caches.ts';

/** A spent or expired token is kept for this time, so that a person can see its state. */
export const keptMilliseconds = 24 * 3_600_000;

/** The state of a token, and when to evaluate it again. Pure. `now`: milliseconds since 1970. */
export function evaluateToken(
  token: PeeringToken,
  now: number,
): { finding: Finding; sweep: boolean; lookAgainAfter: number | undefined } {
  const { expiresAt, revoked } = token.spec;
  const expiry = Date.parse(expiresAt);
  const redeemed = token.status?.redeemedBy;
  const type = 'Redeemable';
  const expired = !(now < expiry);
  const sweepAt = (Number.isFinite(expiry) ? expiry : now) + keptMilliseconds;
  const finding: Finding =
    redeemed !== undefined
      ? {
          type,
          status: 'False',
          reason: reasons.Redeemed,
          message: `redeemed by ${redeemed.clusterID} at ${redeemed.at}`,
        }
      : revoked === true
        ? {
            type,
            status: 'False',
            reason: reasons.RevokedToken,
            message: 'revoked before it was redeemed',
          }
        : expired
          ? {
              type,
              status: 'False',
              reason: reasons.Expired,
              message: `expired at ${expiresAt} without being redeemed`,
            }
          : {
              type,
              status: 'True',
              reason: reasons.Redeemable,
              message: `can be redeemed once until ${expiresAt}`,
            };
  return {
    finding,
    sweep: expired && now >= sweepAt,
    lookAgainAfter: expired ? Math.max(1000, sweepAt - now) : Math.max(100, expiry - now),
  };
}

/** The reconciler. Keys are `namespace/name`. */
export function reconcileToken(context: ControllerContext, caches: Caches) {
  const { kube, clock } = context;
  return async (key: string, signal: AbortSignal): Promise<Result | void> => {
    const token = caches.tokens.byKey(key);
    if (token === undefined || token.metadata.deletionTimestamp !== undefined) return;
    const { finding, sweep, lookAgainAfter } = evaluateToken(token, clock.now());
    if (sweep) {
      await kube.delete(refOf(token), { uid: token.metadata.uid ?? '' }, signal);
      return;
    }
    await applyStatus({ kube, fieldManager, object: token, now: clock.now(), findings: [finding] }, signal);
    return lookAgainAfter === undefined ? undefined : { requeueAfterMilliseconds: lookAgainAfter };
  };
}
