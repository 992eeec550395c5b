/** Whether a peering token can be redeemed, was already redeemed by the caller, or is refused. Pure; reasons are only logged. */
import type { PeeringToken } from '../../shared/api/peerings.ts';
import { bytesOf, equalBytes } from '../../shared/trust/encoding.ts';

export interface Redeemer {
  clusterID: string;
  publicKey: string;
  peering: string;
}

export type RefusalReason =
  'Unknown' | 'Revoked' | 'Expired' | 'ForAnotherCluster' | 'SpentByAnother' | 'KeyDiffers';

export type Verdict =
  | { verdict: 'Spend' }
  /** Spent by the same key for the same peering already. */
  | { verdict: 'Again' }
  | { verdict: 'Refuse'; reason: RefusalReason };

/** `registeredKey` is the key of the RemoteCluster of that ID, if there is one; `now` in milliseconds since 1970. */
export function evaluateRedemption(
  token: PeeringToken | undefined,
  secretHash: string,
  redeemer: Redeemer,
  registeredKey: string | undefined,
  now: number,
): Verdict {
  const refuse = (reason: RefusalReason): Verdict => ({ verdict: 'Refuse', reason });
  if (token === undefined || !equalBytes(bytesOf(token.spec.secretHash), bytesOf(secretHash)))
    return refuse('Unknown');
  const { spec, status, metadata } = token;
  if (spec.revoked === true || metadata.deletionTimestamp !== undefined) return refuse('Revoked');
  // An unreadable expiry counts as passed.
  if (!(now < Date.parse(spec.expiresAt))) return refuse('Expired');
  if (spec.consumer !== undefined && spec.consumer !== redeemer.clusterID) return refuse('ForAnotherCluster');
  if (registeredKey !== undefined && registeredKey !== redeemer.publicKey) return refuse('KeyDiffers');
  const spentBy = status?.redeemedBy;
  if (spentBy === undefined) return { verdict: 'Spend' };
  return spentBy.clusterID === redeemer.clusterID &&
    spentBy.publicKey === redeemer.publicKey &&
    spentBy.peering === redeemer.peering
    ? { verdict: 'Again' }
    : refuse('SpentByAnother');
}

/**
 * Why a token is not shown to the holder of its secret; undefined if it is. A spent token is refused, since there is no proof
 * of the redeemer's key.
 */
export function evaluatePreview(
  token: PeeringToken | undefined,
  secretHash: string,
  clusterID: string,
  now: number,
): RefusalReason | undefined {
  const judged = evaluateRedemption(
    token,
    secretHash,
    { clusterID, publicKey: '', peering: '' },
    undefined,
    now,
  );
  return judged.verdict === 'Refuse' ? judged.reason : undefined;
}

/** When a refusal is sent that was ready after `elapsed` milliseconds: at the next multiple of `step`. */
export function refusalTime(elapsed: number, step: number): number {
  return Math.max(1, Math.ceil(elapsed / step)) * step;
}
