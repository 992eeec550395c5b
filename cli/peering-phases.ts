/** The progress of an outgoing peering, as steps that a person follows. Pure. */
import type { Condition } from '../shared/api/meta.ts';
import type { Tunnel } from '../shared/api/network.ts';
import type { OutgoingPeering } from '../shared/api/peerings.ts';
import { findCondition } from '../shared/conditions.ts';

export interface Phase {
  name: string;
  done: boolean;
  /** What the step waits for: the condition's message where the cluster has reported one. */
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
      `the controller to authenticate to ${provider}`,
    ),
    phase(
      'negotiated: network documents exchanged',
      own,
      'Negotiated',
      `the network document of ${provider}`,
    ),
    phase('tunnel established', path, 'Established', 'a gateway node to open the tunnel'),
    phase(
      'path verified: a probe passed both address translations',
      path,
      'PathVerified',
      'the reply to a path probe',
    ),
    phase(`node ${peering?.spec.nodeName ?? ''} is Ready`, own, 'NodeReady', 'the virtual node'),
    phase('peering is Ready', own, 'Ready', 'the controller to report Ready'),
  ];
}
