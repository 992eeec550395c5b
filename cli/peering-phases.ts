/** How far an outgoing peering is, as steps that a person follows. Pure. */
import type { Condition } from '../shared/api/meta.ts';
import type { Tunnel } from '../shared/api/network.ts';
import type { OutgoingPeering } from '../shared/api/peerings.ts';
import { findCondition } from '../shared/conditions.ts';

export interface Phase {
  name: string;
  done: boolean;
  /** Not done: what is waited for, in the cluster's own words if it has said any. */
  waitingFor: string;
}

/** The steps of a peering in their order. */
export function phasesOf(peering: OutgoingPeering | undefined, tunnel: Tunnel | undefined): Phase[] {
  const own = peering?.status?.conditions;
  const path = tunnel?.status?.conditions;
  const phase = (name: string, conditions: readonly Condition[] | undefined, type: string, hint: string) => {
    const condition = findCondition(conditions, type);
    return {
      name,
      done: condition?.status === 'True',
      waitingFor: condition === undefined ? hint : condition.message,
    };
  };
  const provider = peering?.spec.remoteCluster ?? 'the provider';
  return [
    phase(
      'authenticated: identity received',
      own,
      'IdentityValid',
      `the controller to authenticate at ${provider}`,
    ),
    phase(
      'negotiated: network documents exchanged',
      own,
      'Negotiated',
      `the network document of ${provider}`,
    ),
    phase('tunnel established', path, 'Established', 'a gateway node to open the tunnel'),
    phase(
      'path verified by a probe through both translations',
      path,
      'PathVerified',
      'the answer to a probe',
    ),
    phase(`node ${peering?.spec.nodeName ?? ''} is Ready`, own, 'NodeReady', 'the virtual node'),
    phase('peering is Ready', own, 'Ready', 'the controller to sum up'),
  ];
}
