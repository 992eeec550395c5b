/** Virtual nodes and offloading, the consumer's side: Nodes, Leases, twin namespaces, pods. */
import { ports } from '../../shared/ports.ts';
import type { ControllerContext } from '../kube/index.ts';
import { runLeases } from './lease.ts';
import { runNodes } from './nodes.ts';
import { runOffloading } from './offloading.ts';
import { runPodEvents } from './pod-events.ts';
import { runPods } from './pods.ts';
import { runPresence } from './presence-lease.ts';
import { createCaches } from './caches.ts';

export interface VirtualNodesOptions {
  /** Port of the kubelet API that the nodes announce. Default `ports.kubelet`. */
  kubeletPort?: number;
}

/** Runs until the signal is aborted. Only the leading controller calls it. */
export async function runVirtualNodes(
  context: ControllerContext,
  signal: AbortSignal,
  options: VirtualNodesOptions = {},
): Promise<void> {
  const caches = createCaches(context, signal);
  await Promise.all([
    runNodes(caches, options.kubeletPort ?? ports.kubelet, signal),
    runLeases(caches, signal),
    runPresence(caches, signal),
    runOffloading(caches, signal),
    runPods(caches, signal),
    runPodEvents(caches, signal),
  ]);
}

export { runPodWebhook } from './webhook.ts';
