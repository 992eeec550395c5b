/** Names that tenant/ gives, and reasons that it says. */
import type { TwinNamespace } from '../../shared/api/offloading.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { labels, tenantNamespace } from '../../shared/names.ts';

export const fieldManager = 'hawser-tenant';
/** On IncomingPeerings, TwinNamespaces and ShadowPods: what stands here for them goes first. */
export const tenantFinalizer = 'hawser.dev/tenant';

/** The Secret in the tenant namespace that all tokens of a peering are bound to. */
export const identitySecret = 'hawser-identity';
export const consumerRole = 'hawser-consumer';
/** ClusterRole of the chart, and its binding in each tenant namespace. */
export const gatewayRole = 'hawser-gateway-tenant';
export const quotaName = 'hawser-grant';
/** Counts objects; in twins, tenant namespaces and, as the pilot, in Hawser’s own. */
export const objectQuotaName = 'hawser-objects';
/** In Hawser's own namespace, for seconds, whenever a controller begins: `quota-probe.ts`. */
export const quotaProbeName = 'hawser-quota-probe';
export const limitRangeName = 'hawser-defaults';
export const networkPolicyNames = {
  /** Everything is closed. */
  isolation: 'hawser-isolation',
  /** What is open by default. */
  ingress: 'hawser-default-ingress',
  egress: 'hawser-default-egress',
} as const;
/** Service account of the gateway, in Hawser's namespace. */
export const gatewayServiceAccount = 'hawser-gateway';

/** On a twin: UID of its TwinNamespace. On a tenant namespace: UID of its IncomingPeering. */
export const ownerAnnotation = 'hawser.dev/owner-uid';
/** On a tenant namespace: names that the grant lists for twin namespaces, with commas. An admission policy reads it. */
export const twinNamesAnnotation = 'hawser.dev/twin-namespaces';
/** On a ShadowPod, by the consumer: seconds of grace that a person asked for at deletion. */
export const deletionGraceAnnotation = 'hawser.dev/deletion-grace-seconds';
/** On a real pod: how often it was made again, and the shadow's generation that it was made from. */
export const restartsAnnotation = 'hawser.dev/restarts';

/** What everything that belongs to one incoming peering is labelled with. */
export function peeringLabels(peering: IncomingPeering): Record<string, string> {
  return {
    [labels.managedBy]: 'hawser',
    [labels.remoteCluster]: peering.spec.remoteCluster,
    [labels.origin]: peering.spec.remoteCluster,
    [labels.peering]: peering.metadata.name.slice(0, 63),
  };
}

/** Labels of a twin. */
export function twinLabels(twin: TwinNamespace, peering: IncomingPeering): Record<string, string> {
  return { ...peeringLabels(peering), [labels.originNamespace]: twin.spec.sourceNamespace };
}

/** The tenant namespace of a peering. */
export const tenantNamespaceOf = (peering: IncomingPeering): string =>
  tenantNamespace(peering.spec.remoteCluster, peering.spec.peering);

/** Reasons of conditions; their messages are sentences. */
export const reasons = {
  /** Everything that the consumer needs is there. */
  Ready: 'Ready',
  /** Work is going on. */
  Preparing: 'Preparing',
  /** A namespace of that name exists and is not Hawser's. */
  NameConflict: 'NameConflict',
  /** The name is kept for the system. */
  NameReserved: 'NameReserved',
  /** The name does not end in the consumer's ID, and the grant does not list it. */
  NameNotGranted: 'NameNotGranted',
  /** More twins than a consumer can have. */
  TooMany: 'TooMany',
  /** The peering of the object is not there (any more). */
  NoPeering: 'NoPeering',
  Deleting: 'Deleting',
  /** The identity Secret was deleted: the consumer is revoked. */
  IdentityDeleted: 'IdentityDeleted',
  NotRevoked: 'NotRevoked',
  /** Nothing beyond the grant was asked for lately. */
  NothingRefused: 'NothingRefused',
  /** Something was, and was refused; the message says what. */
  SomethingRefused: 'SomethingRefused',
  QuotaAvailable: 'QuotaAvailable',
  QuotaExhausted: 'QuotaExhausted',
  /** The grant was lowered below what is used. */
  QuotaExceeded: 'QuotaExceeded',
  ObjectsAvailable: 'ObjectsAvailable',
  /** A namespace of the consumer has as many objects of a kind as it may. */
  ObjectsExhausted: 'ObjectsExhausted',
  /** Its objects have more bytes than it may keep here; it may write no more. */
  BytesExhausted: 'BytesExhausted',
  /** It kept naming foreign endpoints; it may write no EndpointSlices for a while. */
  EndpointsRestrained: 'EndpointsRestrained',
  Active: 'Active',
  Cordoned: 'Cordoned',
  Draining: 'Draining',
  Drained: 'Drained',
  ConsumerPresent: 'ConsumerPresent',
  ConsumerAway: 'ConsumerAway',
  /** The consumer has not asked for anything that depends on it. */
  PresenceNotShown: 'PresenceNotShown',
  Admitted: 'Admitted',
  PodRunning: 'PodRunning',
  PodPending: 'PodPending',
  PodFinished: 'PodFinished',
  /** The pod runs; what its consumer changed since is not admitted. */
  ChangeRefused: 'ChangeRefused',
  PodMissing: 'PodMissing',
  /** Its consumer was away for as long as it had said. */
  StoppedOnDisconnect: 'StoppedOnDisconnect',
  NotAdmitted: 'NotAdmitted',
  /** A NetworkPolicy stands for the record. */
  Carried: 'Carried',
  /** Some of its peers are kept closed here, whatever a policy says. */
  CarriedInPart: 'CarriedInPart',
  Redeemable: 'Redeemable',
  Redeemed: 'Redeemed',
  Expired: 'Expired',
  RevokedToken: 'Revoked',
} as const;
