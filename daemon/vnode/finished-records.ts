/**
 * Records of ended pods stay at the provider for their logs, as containers do at a kubelet. They count against the limit of the
 * consumer's objects there, so only the newest stay: a Job of any length completes with a small grant. Dropping a record
 * deletes the real pod with its logs; the pod here keeps its final status.
 */
import type { Grant } from '../../shared/api/grant.ts';
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { isFinished } from '../../shared/kube/pod-phase.ts';
import { kind } from '../kube/index.ts';
import type { Remote } from '../peers/remote.ts';
import type { Caches } from './caches.ts';
import { deleteShadow } from './pod-records.ts';

/** A provider keeps four records per granted pod, and at least 64: half of them, so that running pods have room. */
const perPod = 2;
const least = 32;
const most = 8_000;
/** Maximum deletions at a time; the next ended pod continues. */
const mostAtOnce = 32;

/** How many records of ended pods are kept at one provider, in all twin namespaces together. */
export const finishedKept = (grant: Pick<Grant, 'pods'> | undefined): number =>
  Math.min(most, Math.max(least, perPod * (grant?.pods ?? 0)));

/** The oldest records beyond the kept ones. Pure. */
export function recordsToDrop(
  records: readonly ShadowPod[],
  hasEnded: (record: ShadowPod) => boolean,
  keep: number,
): ShadowPod[] {
  const ended = records.filter(
    (record) => record.metadata.deletionTimestamp === undefined && hasEnded(record),
  );
  if (ended.length <= keep) return [];
  const age = ({ metadata }: ShadowPod) => `${metadata.creationTimestamp ?? ''}/${metadata.name}`;
  return ended
    .toSorted((one, other) => (age(one) < age(other) ? -1 : 1))
    .slice(0, Math.min(ended.length - keep, mostAtOnce));
}

/**
 * Deletes the oldest records of ended pods.
 *
 * @param twins twin namespaces, each with its namespace here
 * @param keep how many may stay; undefined: half of the existing ones, since the provider has no room for more
 */
export async function dropFinishedRecords(
  caches: Caches,
  remote: Remote,
  { twins, keep }: { twins: readonly { source: string; namespace: string }[]; keep: number | undefined },
  signal: AbortSignal,
): Promise<void> {
  const sources = new Map(twins.map(({ source, namespace }) => [namespace, source]));
  const records = twins.flatMap(({ namespace }) => remote.informer(kind.shadowPod, { namespace }).list());
  const hasEnded = (record: ShadowPod): boolean => {
    const source = sources.get(record.metadata.namespace ?? '') ?? '';
    const pod = caches.pods.get(source, record.metadata.name);
    return pod !== undefined && pod.metadata.uid === record.spec.podUID && isFinished(pod);
  };
  const kept = keep ?? Math.floor(records.filter(hasEnded).length / 2);
  for (const record of recordsToDrop(records, hasEnded, kept))
    await deleteShadow(remote, record, undefined, signal);
}
