/** The kubelet API's answers about the virtual nodes themselves. Pure. */
import type { Pod } from '../../shared/kube/types.ts';

/** `GET /pods`: all pods of this cluster's virtual nodes, which share one address. */
export function podList(pods: readonly Pod[]): object {
  return { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: pods };
}

/**
 * `GET /stats/summary`: which pods run since when. Only the provider measures their usage, so these fields are absent, which
 * means unknown.
 */
export function summary(nodeName: string, startedAt: string, pods: readonly Pod[]): object {
  return {
    node: { nodeName, startTime: startedAt },
    pods: pods
      .filter((pod) => pod.status?.phase === 'Running')
      .map((pod) => ({
        podRef: { name: pod.metadata.name, namespace: pod.metadata.namespace, uid: pod.metadata.uid },
        startTime: pod.status?.startTime ?? startedAt,
        containers: [],
      })),
  };
}

/** `GET /metrics/resource`: no measurements, and no scrape error. Prometheus text format 0.0.4. */
export function resourceMetrics(): string {
  return [
    '# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise',
    '# TYPE resource_scrape_error gauge',
    'resource_scrape_error 0',
    '',
  ].join('\n');
}
