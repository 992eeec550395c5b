/**
 * Applies changes during a peering with continuous traffic through the tunnel, and measures until both clusters have converged.
 * The story and the bench use the same changes.
 */
import type { Change, Side } from './change.ts';
import { apiServer, clusterKey, gatewayCertificate, grants } from './changes-control-plane.ts';
import { gatewayNode, gatewayNodeBack, gatewayNodeCutOff } from './changes-gateway-node.ts';
import {
  collidingRange,
  declaredMTU,
  drainedRange,
  endpointPort,
  loadBalancerAddress,
  secondPodRange,
  tunnelKey,
} from './changes-network.ts';
import { pathChanges } from './changes-path.ts';
import type { PassingTraffic } from './passing-traffic.ts';
import type { Pair } from './peered.ts';
import { eventually } from './workload.ts';

export type { Change, Side } from './change.ts';

export interface Outcome {
  change: string;
  sides: string;
  /** Time until both clusters had converged and the tunnel passed packets. */
  seconds: number;
  packetsLost: number;
  streamLives: boolean;
}

/** TCP backs off its retransmissions exponentially: after an outage the next one may be late. */
const streamSeconds = 90;

/** Applies a change to the given sides at the same time, with traffic passing, and measures. */
export async function play(
  pair: Pair,
  traffic: PassingTraffic,
  change: Change,
  sides: readonly Side[],
  seconds = 180,
): Promise<Outcome> {
  await Promise.all(sides.map(async (side) => change.prepare?.(pair, side)));
  const begun = performance.now();
  const checks = await Promise.all(sides.map((side) => change.apply(pair, side, traffic)));
  await Promise.all(
    checks.map((check) => eventually(`${change.name} (${sides.join(' and ')})`, seconds, check)),
  );
  const agreed = performance.now();
  await traffic.passes(seconds, false);
  const { packets, milliseconds } = traffic.lost(begun, performance.now());
  return {
    change: change.name,
    sides: sides.length > 1 ? 'both' : (sides[0] ?? ''),
    seconds: Math.round(Math.max(agreed - begun, milliseconds) / 10) / 100,
    packetsLost: packets,
    streamLives: await traffic.passes(streamSeconds, true).then(
      () => true,
      () => false,
    ),
  };
}

/** All changes in the order of their run, in which none undoes another. */
export const changes: readonly Change[] = [
  ...grants,
  gatewayCertificate,
  apiServer,
  endpointPort,
  loadBalancerAddress,
  clusterKey,
  tunnelKey,
  ...pathChanges,
  declaredMTU,
  secondPodRange,
  gatewayNode,
  gatewayNodeCutOff,
  gatewayNodeBack,
  collidingRange,
  drainedRange,
];

/** Each side alone, and both at once if there are two. */
export function turnsOf({ sides, together }: Change): (readonly Side[])[] {
  const alone = sides.map((side) => [side] as const);
  return together === true || sides.length === 1 ? [sides] : [...alone, sides];
}
