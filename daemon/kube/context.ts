/** What the features of the controller get: the API server, caches, time, a log. Made by `roles/controller.ts`. */
import type { KubeClient } from '../../shared/kube/client.ts';
import type { Clock } from '../../shared/time.ts';
import type { ControllerMetrics } from './controller.ts';
import type { EventRecorder } from './events.ts';
import type { Informers } from '../../shared/kube/informers.ts';
import type { Log } from './log.ts';

/** A feature of the controller: runs until the signal is aborted, which is also when this process no longer leads. */
export type Feature = (context: ControllerContext, signal: AbortSignal) => Promise<void>;

export interface ControllerContext {
  /** The own cluster's API server, as the controller's service account. */
  kube: KubeClient;
  /** Hawser's namespace. */
  namespace: string;
  /** Address of this pod (POD_IP): virtual nodes announce it as their kubelet's. */
  podIP: string;
  /** Name of this pod. */
  podName: string;
  /** Node that this pod runs on. */
  nodeName: string;
  /** Readable beginning of the cluster's ID, if the chart gives one (HAWSER_CLUSTER_NAME). */
  clusterName?: string | undefined;
  /** By which this process speaks to the API server: a URL. */
  apiServer?: string | undefined;
  /** Addresses of a name; rejects when the name is not known, or when the signal is aborted. */
  resolve: (name: string, signal: AbortSignal) => Promise<string[]>;
  /** Version of Hawser. */
  version: string;
  clock: Clock;
  log: Log;
  /** The shared informer of a kind: ask for it freely, it is one watch a process. */
  informer: Informers['informer'];
  /** Events, under the component `hawser-controller`. */
  events: EventRecorder;
  metrics?: ControllerMetrics;
}
