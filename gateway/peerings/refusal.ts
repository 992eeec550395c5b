/** The refusal of a peering token that can't be redeemed, on all routes. */
import { Problem } from '../../shared/errors.ts';
import type { Dependencies, GatewayContext } from '../http/context.ts';
import { refusalTime, type RefusalReason } from './redemption.ts';
import { sleep } from '../../shared/time.ts';

/** The same answer for every such token, at a time that does not reveal the reason. */
export async function refusal(
  { limits, clock, log, metrics }: Dependencies,
  context: GatewayContext,
  reason: RefusalReason,
): Promise<Problem> {
  const { startedAt, signal, requestID } = context.var;
  log.info('refused to redeem a peering token', { requestID, reason });
  metrics.count('hawser_api_redemptions_refused_total', 'Peering tokens refused, by reason.', { reason });
  const elapsed = clock() - startedAt;
  await sleep(refusalTime(elapsed, limits.refusalMilliseconds) - elapsed, signal);
  return new Problem(
    'token-not-redeemable',
    'This cluster cannot redeem this peering token: it is expired, revoked, spent, issued for another cluster, or was never issued; or the provider knows this cluster’s ID with another key. Ask the provider’s administrator for a new token.',
    { errors: [{ field: 'secret', detail: 'is not redeemable' }] },
  );
}
