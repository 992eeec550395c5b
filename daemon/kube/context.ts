/** The dependencies of the controller's features: the API server, caches, time, a log. Created by `roles/controller.ts`. */
import type { KubeClient } from '../../shared/kube/client.ts';
import type { Clock } from '../../shared/time.ts';
import type { ControllerMetrics, ControllerOptions } from './controller.ts';
import type { EventRecorder } from './events.ts';
import type { Informers } from '../../shared/kube/informers.ts';
import type { Log } from './log.ts';

/** A feature of the controller: runs until the signal is aborted, at shutdown or when this process no longer leads. */
export type Feature = (context: ControllerContext, signal: AbortSignal) => Promise<void>;

export interface ControllerContext {
  /** The own cluster's API server, as the controller's service account. */
  kube: KubeClient;
  /** Hawser's namespace. */
  namespace: string;
  /** Address of this pod (POD_IP), which virtual nodes announce as their kubelet's. */
  podIP: string;
  /** Name of this pod. */
  podName: string;
  /** Node that this pod runs on. */
  nodeName: string;
  /** Readable prefix of the cluster ID, if the chart sets one (HAWSER_CLUSTER_NAME). */
  clusterName?: string | undefined;
  /** URL by which this process reaches the API server. */
  apiServer?: string | undefined;
  /** Resolves a host name; rejects when the name is unknown or the signal is aborted. */
  resolve: (name: string, signal: AbortSignal) => Promise<string[]>;
  /** Version of Hawser. */
  version: string;
  clock: Clock;
  log: Log;
  /** The shared informer of a kind; there is one watch per process, however often this is called. */
  informer: Informers['informer'];
  /** Recorder of Events with the component `hawser-controller`. */
  events: EventRecorder;
  metrics?: ControllerMetrics;
}

/** Options that all controllers of a feature share. */
export function commonOptions({
  log,
  clock,
  metrics,
}: ControllerContext): Pick<ControllerOptions, 'log' | 'clock' | 'metrics'> {
  return { log, clock, ...(metrics && { metrics }) };
}
