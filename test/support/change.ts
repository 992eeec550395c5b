/** What a change while a peering lives is, and what all of them look at. */
import type { BedCluster } from '../testbed/index.ts';
import { only } from './api-objects.ts';
import type { PassingTraffic } from './passing-traffic.ts';
import type { Pair } from './peered.ts';

export type Side = 'consumer' | 'provider';

export interface Change {
  name: string;
  sides: readonly Side[];
  /** Sides that change together only; default: one by one as well. */
  together?: boolean;
  /** Brings about what the change begins from, before anything is measured. */
  prepare?: (pair: Pair, side: Side) => Promise<void>;
  /** Brings it about on one side; what it returns is asked until it is true. */
  apply: (pair: Pair, side: Side, traffic: PassingTraffic) => Promise<() => Promise<boolean>>;
}

export const own = (pair: Pair, side: Side): BedCluster => pair[side];
export const other = (pair: Pair, side: Side): BedCluster =>
  pair[side === 'consumer' ? 'provider' : 'consumer'];

/** Whether the tunnel of a cluster says that packets pass. */
export async function pathVerified(cluster: BedCluster): Promise<boolean> {
  const { status } = await only(cluster, 'tunnels');
  return status?.conditions?.some((each) => each.type === 'PathVerified' && each.status === 'True') ?? false;
}

/** Whether the two control planes have each other's documents. */
export async function negotiated(consumer: BedCluster): Promise<boolean> {
  const { status } = await only(consumer, 'outgoingpeerings');
  return status?.conditions?.some((each) => each.type === 'Negotiated' && each.status === 'True') ?? false;
}
