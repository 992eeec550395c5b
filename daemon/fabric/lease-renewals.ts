/**
 * Whether the node that was given a tunnel endpoint still shows that it is there, by the renewals of the tunnel endpoint's Lease. Pure.
 *
 * Readings are counted and no times compared: clocks of two machines differ, and while the API server or this process is too
 * slow to read, nothing is known of the node. Kubernetes itself takes 40 to 50 s to see a node that is gone.
 */
import type { Lease } from '../kube/index.ts';

/** The holder renews so often. */
export const renewMilliseconds = 2_000;
/** The Lease is read so often. */
export const readMilliseconds = 1_000;
/** So many readings in a row without a renewal: three or more were missed. */
const silentReadings = 8;
/** A node that was just given the tunnel endpoint first reads what a gateway must know. */
const takingReadings = 30;

/** What was read of one holder. */
export interface Renewals {
  holder: string;
  /** Of the last renewal; undefined: none since the tunnel endpoint was handed over. */
  renewTime: string | undefined;
  /** Readings in a row that showed the same as the one before. */
  unchanged: number;
}

/** @param lease as it was just read; undefined when there is none */
export function afterReading(before: Renewals | undefined, lease: Lease | undefined): Renewals | undefined {
  const holder = lease?.spec?.holderIdentity;
  if (!holder) return undefined;
  const renewTime = lease?.spec?.renewTime ?? undefined;
  const same = before?.holder === holder && before.renewTime === renewTime;
  return { holder, renewTime, unchanged: same ? before.unchanged + 1 : 0 };
}

/** After a reading that failed: a failed read does not make the holder silent. */
export function afterFailure(before: Renewals | undefined): Renewals | undefined {
  return before && { ...before, unchanged: 0 };
}

export function isSilent(renewals: Renewals | undefined): boolean {
  if (renewals === undefined) return false;
  return renewals.unchanged >= (renewals.renewTime === undefined ? takingReadings : silentReadings);
}
