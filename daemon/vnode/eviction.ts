/** Evicts pods from a virtual node. */
import { KubeError, isNotFound, kind, refOf, type KubeClient } from '../kube/index.ts';
import type { Pod } from '../../shared/kube/types.ts';

/** The result of an eviction. */
export type Eviction = { pod: Pod; outcome: 'Evicted' } | { pod: Pod; outcome: 'Blocked'; message: string };

/** Maximum number of evicted pods per reconcile. */
const mostAtOnce = 20;
/** Maximum number of eviction requests per reconcile, so that pods protected by a budget do not block the others. */
const mostAsked = 200;

/**
 * Evicts pods by the eviction API, which respects disruption budgets. Pods that are already being deleted are skipped.
 */
export async function evictPods(
  kube: KubeClient,
  pods: readonly Pod[],
  signal: AbortSignal,
): Promise<Eviction[]> {
  const results: Eviction[] = [];
  let evicted = 0;
  for (const pod of pods
    .filter((each) => each.metadata.deletionTimestamp === undefined)
    .slice(0, mostAsked)) {
    if (evicted >= mostAtOnce) break;
    const { name, namespace, uid } = pod.metadata;
    try {
      await kube.createSubresource(
        { ...refOf(pod), kind: kind.pod },
        'eviction',
        {
          apiVersion: 'policy/v1',
          kind: 'Eviction',
          metadata: { name, namespace },
          deleteOptions: { preconditions: { uid } },
        },
        signal,
      );
      evicted += 1;
      results.push({ pod, outcome: 'Evicted' });
    } catch (error) {
      if (isNotFound(error)) continue;
      // 429: a disruption budget forbids it now. 409: another pod has the name now.
      if (!(error instanceof KubeError) || (error.status !== 429 && error.status !== 409)) throw error;
      results.push({ pod, outcome: 'Blocked', message: error.message.slice(0, 500) });
    }
  }
  return results;
}
