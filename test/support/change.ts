/** The type of a change during a peering, and checks that all changes share. */
import type { BedCluster } from '../testbed/index.ts';
import { only } from './api-objects.ts';
import type { PassingTraffic } from './passing-traffic.ts';
import type { Pair } from './peered.ts';

export type Side = 'consumer' | 'provider';

export interface Change {
  name: string;
  sides: readonly Side[];
  /** Set for sides that only change together; by default each side also changes alone. */
  together?: boolean;
  /** Brings about the state before the change; not measured. */
  prepare?: (pair: Pair, side: Side) => Promise<void>;
  /** Applies the change on one side; the returned check is repeated until it returns true. */
  apply: (pair: Pair, side: Side, traffic: PassingTraffic) => Promise<() => Promise<boolean>>;
}

export const own = (pair: Pair, side: Side): BedCluster => pair[side];
export const other = (pair: Pair, side: Side): BedCluster =>
  pair[side === 'consumer' ? 'provider' : 'consumer'];

/** Whether a cluster's Tunnel reports a verified path. */
export async function pathVerified(cluster: BedCluster): Promise<boolean> {
  const { status } = await only(cluster, 'tunnels');
  return status?.conditions?.some((each) => each.type === 'PathVerified' && each.status === 'True') ?? false;
}

/** Whether both control planes have each other's network documents. */
export async function negotiated(consumer: BedCluster): Promise<boolean> {
  const { status } = await only(consumer, 'outgoingpeerings');
  return status?.conditions?.some((each) => each.type === 'Negotiated' && each.status === 'True') ?? false;
}
