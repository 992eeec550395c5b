/** Whether a peering token is spent, again answered, or refused. Pure; what it says of the reasons is for the log alone. */
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
  // An expiry that can't be read is one that has passed.
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
 * Why a token is not shown to whoever has its secret; undefined: it is. Without a proof of a key, one that is spent is
 * nobody's any more.
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

/** When a refusal that is ready `elapsed` milliseconds after the request is sent: at the next multiple of `step`. */
export function refusalTime(elapsed: number, step: number): number {
  return Math.max(1, Math.ceil(elapsed / step)) * step;
}
