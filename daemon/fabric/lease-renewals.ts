/**
 * Whether the node that a tunnel endpoint is assigned to is alive, judged by its renewals of the endpoint's Lease. Pure.
 *
 * It counts reads and compares no timestamps: the clocks of two machines differ, and a slow API server or a slow controller
 * says nothing about the node. Kubernetes itself takes 40 to 50 s to notice a lost node.
 */
import { endpointLease } from '../../shared/names.ts';
import { kind, type Lease, type Ref } from '../kube/index.ts';

/** Where the Lease of a tunnel endpoint is. */
export const leaseRef = (namespace: string, tunnelEndpoint: string): Ref<Lease> => ({
  kind: kind.lease,
  namespace,
  name: endpointLease(tunnelEndpoint),
});

/** Interval at which the holder renews. */
export const renewMilliseconds = 2_000;
/** Interval at which the Lease is read. */
export const readMilliseconds = 1_000;
/** The holder counts as dead after this many consecutive reads without a renewal: it missed three or more. */
const silentReadings = 8;
/** A new holder has more time: it first lists the objects that a gateway node needs. */
const takingReadings = 30;

/** The reads of one holder so far. */
export interface Renewals {
  holder: string;
  /** `renewTime` of the last renewal; undefined if there was none since the assignment. */
  renewTime: string | undefined;
  /** Consecutive reads that showed no renewal. */
  unchanged: number;
}

/** @param lease as just read; undefined when it does not exist */
export function afterReading(before: Renewals | undefined, lease: Lease | undefined): Renewals | undefined {
  const holder = lease?.spec?.holderIdentity;
  if (!holder) return undefined;
  const renewTime = lease?.spec?.renewTime ?? undefined;
  const same = before?.holder === holder && before.renewTime === renewTime;
  return { holder, renewTime, unchanged: same ? before.unchanged + 1 : 0 };
}

/** After a failed read, which does not count against the holder. */
export function afterFailure(before: Renewals | undefined): Renewals | undefined {
  return before && { ...before, unchanged: 0 };
}

export function isSilent(renewals: Renewals | undefined): boolean {
  if (renewals === undefined) return false;
  return renewals.unchanged >= (renewals.renewTime === undefined ? takingReadings : silentReadings);
}
