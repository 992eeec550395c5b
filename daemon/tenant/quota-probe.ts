/**
 * Probes which of Hawser's own kinds Kubernetes can count, with a quota in Hawser's namespace on kinds that are never created
 * there. Kubernetes discovers new kinds every half minute, but evaluates a quota only when it is created or changed, or every
 * five minutes (`--resource-quota-sync-period`). The quota is therefore recreated until it is counted, and then deleted.
 */
import { backoff, deadline, sleep } from '../../shared/time.ts';
import type { ControllerContext } from '../kube/context.ts';
import { isAlreadyExists, messageOf } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { ResourceQuota } from '../../shared/kube/types.ts';
import { quotaProbeName, fieldManager } from './names.ts';
import { countedOwn, ownCounts } from './object-limits.ts';

/** A countable kind is counted within some milliseconds. */
const lookMilliseconds = 250;
const looksEach = 8;
const cleanupMilliseconds = 2000;
const again = { base: 1000, most: 15_000 };

/** Probes until all kinds can be counted; adds them to `counted`, and calls `found` for each addition. */
export async function tryCounting(
  context: ControllerContext,
  counted: Set<string>,
  found: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { kube, namespace, clock, log } = context;
  const ref = { kind: kind.resourceQuota, namespace, name: quotaProbeName };
  const quota: ResourceQuota = {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: quotaProbeName, namespace },
    spec: { hard: Object.fromEntries(ownCounts.map((name) => [name, '0'])) },
  };
  const note = (names: readonly string[]) => {
    const before = counted.size;
    for (const name of names) counted.add(name);
    if (counted.size > before) found();
  };
  for (let tries = 0; counted.size < ownCounts.length && !signal.aborted; tries++) {
    try {
      await kube.create(quota, signal, { fieldManager }).catch((error: unknown) => {
        // Left by a process that was interrupted.
        if (!isAlreadyExists(error)) throw error;
      });
      try {
        for (let looks = 0; looks < looksEach && counted.size < ownCounts.length; looks++) {
          await sleep(lookMilliseconds, signal, clock);
          note(countedOwn(await kube.get(ref, signal)));
        }
      } finally {
        // Also at shutdown, since the next process may be another release, or none.
        const limit = deadline(
          new AbortController().signal,
          cleanupMilliseconds,
          'deleting the quota of a probe',
          clock,
        );
        await kube.delete(ref, {}, limit.signal).finally(limit.release);
      }
    } catch (error) {
      if (signal.aborted) return;
      log.warn('failed to probe which resources Kubernetes can count', { error: messageOf(error) });
    }
    if (counted.size < ownCounts.length) await sleep(backoff(tries, again), signal, clock);
  }
}
