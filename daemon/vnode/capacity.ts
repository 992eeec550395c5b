/** Capacity of a virtual node: the grant, or less if the consumer limits it. Pure. */
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { parseQuantity } from '../../shared/quantities.ts';

/** Without a grant the capacity is zero, so the scheduler skips the node. */
const nothing = { cpu: '0', memory: '0', pods: '0' };

/** `status.capacity` and `status.allocatable` of the Node. */
export function capacityOf(peering: OutgoingPeering): Record<string, string> {
  const grant = peering.status?.grant;
  if (grant === undefined) return { ...nothing };
  const wanted = peering.spec.capacity;
  const smaller = (granted: string, requested: string | undefined) =>
    requested !== undefined && parseQuantity(requested) < parseQuantity(granted) ? requested : granted;
  return {
    cpu: smaller(grant.cpu, wanted?.cpu),
    memory: smaller(grant.memory, wanted?.memory),
    pods: String(Math.min(grant.pods, wanted?.pods ?? grant.pods)),
    ...(grant.ephemeralStorage !== undefined && { 'ephemeral-storage': grant.ephemeralStorage }),
    ...Object.fromEntries((grant.extendedResources ?? []).map(({ name, quantity }) => [name, quantity])),
  };
}
