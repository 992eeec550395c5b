/** Decisions about incoming peerings that several processes share. Pure. */
import type { IncomingPeering } from './api/peerings.ts';
import { findCondition } from './conditions.ts';

/**
 * Whether the consumer is revoked: its identity was deleted, and no other token redeemed since. A changed grant alone does not
 * restore access.
 */
export function isRevoked({ spec, status }: IncomingPeering): boolean {
  const revoked = findCondition(status?.conditions, 'Revoked');
  return revoked?.status === 'True' && status?.revokedTokenName === (spec.tokenName ?? '');
}

/** Whether the consumer has access and its packets pass: not while the peering is being removed, nor after a revocation. */
export const isAuthorized = (peering: IncomingPeering): boolean =>
  peering.metadata.deletionTimestamp === undefined && !isRevoked(peering);
