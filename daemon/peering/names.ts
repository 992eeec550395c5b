/** Names and reasons of peering/. */

export const fieldManager = 'hawser-peering';
export { peeringFinalizer } from '../../shared/names.ts';
/** vnode/'s own on the same object: its node is drained and removed before the provider is told. */
export const nodeFinalizer = 'hawser.dev/vnode';
/** Key of the Secret that OutgoingPeering.spec.tokenSecretName names. */
export const tokenKey = 'token';

export const reasons = {
  Ready: 'Ready',
  /** LocalCluster: something of this cluster is not known yet. */
  Incomplete: 'Incomplete',
  /** The old cluster key signed a new one: this cluster's own, or a remote's. */
  ClusterKeySucceeded: 'ClusterKeySucceeded',
  CIDRsDetected: 'CIDRsDetected',
  CIDRsUnknown: 'CIDRsUnknown',
  CIDRsOverlap: 'CIDRsOverlap',
  CIDRsGuessed: 'CIDRsGuessed',
  /** The pool that ranges of remotes are mapped into has had room for all. */
  RemapPoolFree: 'RemapPoolFree',
  /** Some are mapped into pools that are only for when it is exhausted. */
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
  /** In-band: nothing can be asked before the tunnel is open. */
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
