/** Conditions of a virtual node, from measurements. Pure. */
import type { Condition } from '../../shared/api/meta.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { findCondition, toSeconds, type Finding } from '../../shared/conditions.ts';

/** Reasons of the Node's Ready condition and of `NodeReady` on the OutgoingPeering. */
export const readinessReasons = {
  /** Packets pass through both translations, and the provider accepts this cluster. */
  pathVerified: 'PathVerified',
  /** The provider does not accept the identity (any more), or none was issued. */
  identityInvalid: 'IdentityInvalid',
  /** There is no Tunnel object, since the network documents have not been exchanged yet. */
  tunnelMissing: 'TunnelMissing',
  /** The Tunnel exists, but no probe was answered yet. */
  pathNotVerified: 'PathNotVerified',
  /** The peering is being removed. */
  removing: 'Removing',
} as const;

/**
 * Reasons of `IdentityValid` that mean "unreachable", not "refused": while the data path works, they must not evict pods.
 */
const lostSight: ReadonlySet<string> = new Set(['IdentityExpired', 'ProviderUnreachable']);

/** Whether the provider's API server answers, as the remote client measures it. */
export interface ApiReachability {
  state: 'Reachable' | 'Unreachable' | 'Unknown';
  /** Milliseconds since 1970: when it became so. */
  since: number;
  message: string;
}

export interface Readiness {
  status: Condition['status'];
  reason: string;
  message: string;
  /** NetworkUnavailable of the Node: the inverse of the path's state. */
  networkUnavailable: boolean;
  /** If set, no new pods may be scheduled, for this reason. Running pods are unaffected. */
  apiUnreachable: string | undefined;
  /** The API server has not been probed yet, so the previous state stays. */
  apiUnknown: boolean;
}

/** Ready follows the data path and the identity; an unreachable API server of the provider only blocks new pods. */
export function evaluateReadiness(
  peering: OutgoingPeering,
  tunnel: Tunnel | undefined,
  api: ApiReachability,
): Readiness {
  const provider = peering.spec.remoteCluster;
  const path = findCondition(tunnel?.status?.conditions, 'PathVerified');
  const networkUnavailable = path?.status !== 'True';
  const identity = findCondition(peering.status?.conditions, 'IdentityValid');
  const unseen = identity?.status === 'False' && lostSight.has(identity.reason);
  const apiUnreachable = unseen
    ? `This cluster's identity at ${provider} can't be renewed (${identity.message}); running pods stay, new ones wait.`
    : api.state === 'Unreachable'
      ? `The API server of ${provider} has not answered since ${toSeconds(api.since)} (${api.message}); running pods stay, new ones wait.`
      : undefined;
  const readiness = (status: Condition['status'], reason: string, message: string): Readiness => ({
    status,
    reason,
    message,
    networkUnavailable,
    apiUnreachable,
    apiUnknown: !unseen && api.state === 'Unknown',
  });
  if (peering.metadata.deletionTimestamp !== undefined) {
    return readiness(
      'False',
      readinessReasons.removing,
      'The peering is being removed; pods leave this node.',
    );
  }
  if (identity?.status === 'False' && !unseen) {
    return readiness(
      'False',
      readinessReasons.identityInvalid,
      `The provider ${provider} does not accept this cluster's identity: ${identity.message}`,
    );
  }
  if (tunnel === undefined) {
    return readiness(
      'False',
      readinessReasons.tunnelMissing,
      `The tunnel to ${provider} waits for the network documents of both sides (hawser status shows which one is missing).`,
    );
  }
  if (networkUnavailable) {
    const detail = path === undefined ? 'no probe has been sent yet' : path.message;
    // A point in time, not a duration, which would change the message continuously.
    const how = path === undefined ? '' : ` since ${path.lastTransitionTime}`;
    return readiness(
      'False',
      readinessReasons.pathNotVerified,
      `Probes do not return from ${provider}${how}: ${detail}`,
    );
  }
  return readiness(
    'True',
    readinessReasons.pathVerified,
    path?.message ?? `Probes reach ${provider} and return.`,
  );
}

/** `NodeReady` of the OutgoingPeering. */
export function nodeReadyFinding(peering: OutgoingPeering, readiness: Readiness): Finding {
  const extra = readiness.apiUnreachable === undefined ? '' : ` ${readiness.apiUnreachable}`;
  return {
    type: 'NodeReady',
    status: readiness.status,
    reason: readiness.reason,
    message:
      readiness.status === 'True'
        ? `Node ${peering.spec.nodeName} accepts pods.${extra}`
        : `${readiness.message}${extra}`,
    observedGeneration: peering.metadata.generation,
  };
}
