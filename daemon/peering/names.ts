/** Names and reasons of peering/. */

export const fieldManager = 'hawser-peering';
export { peeringFinalizer } from '../../shared/names.ts';
/** vnode/'s finalizer on the same object: the node is drained and removed before the provider is notified. */
export const nodeFinalizer = 'hawser.dev/vnode';
/** Key of the Secret that OutgoingPeering.spec.tokenSecretName names. */
export const tokenKey = 'token';

export const reasons = {
  Ready: 'Ready',
  /** LocalCluster: a part of this cluster's description is not known yet. */
  Incomplete: 'Incomplete',
  /** The old cluster key signed a new one: this cluster's own, or a remote's. */
  ClusterKeySucceeded: 'ClusterKeySucceeded',
  CIDRsDetected: 'CIDRsDetected',
  CIDRsUnknown: 'CIDRsUnknown',
  PodsOutsideCIDRs: 'PodsOutsideCIDRs',
  CIDRsOverlap: 'CIDRsOverlap',
  CIDRsGuessed: 'CIDRsGuessed',
  /** The first pool for remapped ranges has had room for all. */
  RemapPoolFree: 'RemapPoolFree',
  /** Some ranges are mapped into the fallback pools. */
  RemapPoolExhausted: 'RemapPoolExhausted',
  /** RemoteCluster */
  WaitingForDocument: 'WaitingForDocument',
  DocumentVerified: 'DocumentVerified',
  KeyMismatch: 'KeyMismatch',
  DocumentInvalid: 'DocumentInvalid',
  NotUnderstood: 'NotUnderstood',
  Compatible: 'Compatible',
  Accepted: 'Accepted',
  DocumentRefused: 'DocumentRefused',
  /** OutgoingPeering */
  WaitingForLocalCluster: 'WaitingForLocalCluster',
  WaitingForRemoteCluster: 'WaitingForRemoteCluster',
  /** In-band: no request is possible before the tunnel is open. */
  WaitingForTunnel: 'WaitingForTunnel',
  TokenMissing: 'TokenMissing',
  TokenInvalid: 'TokenInvalid',
  TokenRefused: 'TokenRefused',
  IdentityIssued: 'IdentityIssued',
  IdentityExpired: 'IdentityExpired',
  ProviderUnreachable: 'ProviderUnreachable',
  ProviderRefuses: 'ProviderRefuses',
  PeeringEnded: 'PeeringEnded',
  Negotiated: 'Negotiated',
  Negotiating: 'Negotiating',
  WaitingForNode: 'WaitingForNode',
  Deleting: 'Deleting',
} as const;
