/**
 * Records of pods that have ended stay at the provider for their logs, as containers do at a kubelet. They count against the
 * objects that a consumer may keep there, so only the newest do: a Job of any length ends under a small grant. What is dropped
 * takes the real pod and its logs along; the pod here keeps its final status.
 */
import type { Grant } from '../../shared/api/grant.ts';
import type { ShadowPod } from '../../shared/api/offloading.ts';
import { isFinished } from '../../shared/kube/pod-phase.ts';
import { kind } from '../kube/index.ts';
import type { Remote } from '../peers/remote.ts';
import type { Caches } from './caches.ts';
import { deleteShadow } from './pod-records.ts';

/** A provider keeps four records for each granted pod, and 64 at least: half of that, so that living pods find room. */
const perPod = 2;
const least = 32;
const most = 8_000;
/** Deleted at one time; the next pod that ends goes on. */
const mostAtOnce = 32;

/** How many records of ended pods are kept at one provider, in all twin namespaces together. */
export const finishedKept = (grant: Pick<Grant, 'pods'> | undefined): number =>
  Math.min(most, Math.max(least, perPod * (grant?.pods ?? 0)));

/** The oldest records beyond those that are kept. Pure. */
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
 * @param twins where they are: the namespace there, and the one here
 * @param keep how many may stay; undefined: half of those that are there, since the provider has room for no more
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
