/** Names and condition reasons of tenant/. */
import type { TwinNamespace } from '../../shared/api/offloading.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { labels, tenantNamespace } from '../../shared/names.ts';

export const fieldManager = 'hawser-tenant';
/** Finalizer on IncomingPeerings, TwinNamespaces and ShadowPods: their objects here are deleted first. */
export const tenantFinalizer = 'hawser.dev/tenant';

/** The Secret in the tenant namespace to which all tokens of a peering are bound. */
export const identitySecret = 'hawser-identity';
export const consumerRole = 'hawser-consumer';
/** ClusterRole of the chart, and its binding in each tenant namespace. */
export const gatewayRole = 'hawser-gateway-tenant';
export const quotaName = 'hawser-grant';
/** ResourceQuota that counts objects, in twin and tenant namespaces and, for the probe, in Hawser’s own. */
export const objectQuotaName = 'hawser-objects';
/** In Hawser's own namespace for some seconds at each start of a controller: `quota-probe.ts`. */
export const quotaProbeName = 'hawser-quota-probe';
export const limitRangeName = 'hawser-defaults';
export const networkPolicyNames = {
  /** Denies everything. */
  isolation: 'hawser-isolation',
  /** Allows the default access. */
  ingress: 'hawser-default-ingress',
  egress: 'hawser-default-egress',
} as const;
/** Service account of the gateway, in Hawser's namespace. */
export const gatewayServiceAccount = 'hawser-gateway';

/** On a twin namespace: UID of its TwinNamespace. On a tenant namespace: UID of its IncomingPeering. */
export const ownerAnnotation = 'hawser.dev/owner-uid';
/** On a tenant namespace: the grant's names for twin namespaces, comma-separated. An admission policy reads it. */
export const twinNamesAnnotation = 'hawser.dev/twin-namespaces';
/** On a ShadowPod, set by the consumer: the deletion grace period in seconds that a person requested. */
export const deletionGraceAnnotation = 'hawser.dev/deletion-grace-seconds';
/** On a real pod: how often it was recreated, and the shadow pod's generation that it was created from. */
export const restartsAnnotation = 'hawser.dev/restarts';

/** Labels of everything that belongs to one incoming peering. */
export function peeringLabels(peering: IncomingPeering): Record<string, string> {
  return {
    [labels.managedBy]: 'hawser',
    [labels.remoteCluster]: peering.spec.remoteCluster,
    [labels.origin]: peering.spec.remoteCluster,
    [labels.peering]: peering.metadata.name.slice(0, 63),
  };
}

/** Labels of a twin namespace. */
export function twinLabels(twin: TwinNamespace, peering: IncomingPeering): Record<string, string> {
  return { ...peeringLabels(peering), [labels.originNamespace]: twin.spec.sourceNamespace };
}

/** The tenant namespace of a peering. */
export const tenantNamespaceOf = (peering: IncomingPeering): string =>
  tenantNamespace(peering.spec.remoteCluster, peering.spec.peering);

/** Reasons of conditions; their messages are sentences. */
export const reasons = {
  /** Everything that the consumer needs exists. */
  Ready: 'Ready',
  /** Work is in progress. */
  Preparing: 'Preparing',
  /** A namespace of that name exists and is not Hawser's. */
  NameConflict: 'NameConflict',
  /** The name is reserved for the system. */
  NameReserved: 'NameReserved',
  /** The name does not end in the consumer's ID, and the grant does not list it. */
  NameNotGranted: 'NameNotGranted',
  /** The consumer has its maximum number of twin namespaces. */
  TooMany: 'TooMany',
  /** The object's peering does not exist (any more). */
  NoPeering: 'NoPeering',
  Deleting: 'Deleting',
  /** The identity Secret was deleted: the consumer is revoked. */
  IdentityDeleted: 'IdentityDeleted',
  NotRevoked: 'NotRevoked',
  /** No recent request exceeded the grant. */
  NothingRefused: 'NothingRefused',
  /** A recent request exceeded the grant and was refused; the message has details. */
  SomethingRefused: 'SomethingRefused',
  QuotaAvailable: 'QuotaAvailable',
  QuotaExhausted: 'QuotaExhausted',
  /** The grant was lowered below the usage. */
  QuotaExceeded: 'QuotaExceeded',
  ObjectsAvailable: 'ObjectsAvailable',
  /** A namespace of the consumer has reached its limit of objects of a kind. */
  ObjectsExhausted: 'ObjectsExhausted',
  /** Its objects exceed their limit in bytes, so it must not write any more. */
  BytesExhausted: 'BytesExhausted',
  /** It repeatedly named foreign endpoints, so it must not write EndpointSlices for a while. */
  EndpointsRestrained: 'EndpointsRestrained',
  Active: 'Active',
  Cordoned: 'Cordoned',
  Draining: 'Draining',
  Drained: 'Drained',
  ConsumerPresent: 'ConsumerPresent',
  ConsumerAway: 'ConsumerAway',
  /** No namespace of the consumer depends on its presence. */
  PresenceNotShown: 'PresenceNotShown',
  Admitted: 'Admitted',
  PodRunning: 'PodRunning',
  PodPending: 'PodPending',
  PodFinished: 'PodFinished',
  /** The pod runs, but later changes by its consumer are not admitted. */
  ChangeRefused: 'ChangeRefused',
  PodMissing: 'PodMissing',
  /** Its consumer was disconnected for the duration of its StopAfter policy. */
  StoppedOnDisconnect: 'StoppedOnDisconnect',
  NotAdmitted: 'NotAdmitted',
  /** A NetworkPolicy exists for the record. */
  Carried: 'Carried',
  /** Isolation blocks some of its peers. */
  CarriedInPart: 'CarriedInPart',
  Redeemable: 'Redeemable',
  Redeemed: 'Redeemed',
  Expired: 'Expired',
  RevokedToken: 'Revoked',
} as const;
