/** The fabric's part of the controller: Tunnels, slots, lent addresses, and what nodes are assigned. */
import type { ControllerContext } from '../../kube/index.ts';
import { runLentAddresses } from './address-mappings-controller.ts';
import { runSlots } from './endpoints-controller.ts';
import { runTunnels } from './tunnels-controller.ts';

/** Runs until the signal is aborted. */
export async function runFabricController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  await Promise.all([
    runTunnels(context, signal),
    runSlots(context, signal),
    runLentAddresses(context, signal),
  ]);
}
