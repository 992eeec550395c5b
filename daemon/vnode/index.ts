/** Virtual nodes and offloading, the consumer's side: nodes, leases, twins, pods. */
import type { ControllerContext } from '../kube/index.ts';
import { runLeases } from './lease.ts';
import { runNodes } from './nodes.ts';
import { runOffloading } from './offloading.ts';
import { runPods } from './pods.ts';
import { createWorld } from './world.ts';

/** Runs until the signal is aborted. One at a time: only the leading controller calls it. */
export async function runVirtualNodes(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const world = createWorld(context, signal);
  await Promise.all([
    runNodes(world, signal),
    runLeases(world, signal),
    runOffloading(world, signal),
    runPods(world, signal),
  ]);
}

export { runPodWebhook } from './webhook.ts';
