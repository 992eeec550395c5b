/** The fabric's part of the controller: Tunnels, tunnel endpoints, AddressMappings, and the assignments of nodes. */
import type { ControllerContext } from '../../kube/index.ts';
import { runAddressMappings } from './address-mappings-controller.ts';
import { runEndpoints } from './endpoints-controller.ts';
import { runTunnels } from './tunnels-controller.ts';

/** Runs until the signal is aborted. */
export async function runFabricController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  await Promise.all([
    runTunnels(context, signal),
    runEndpoints(context, signal),
    runAddressMappings(context, signal),
  ]);
}
