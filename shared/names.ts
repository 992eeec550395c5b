/** Names that several processes share, by which everything that Hawser creates in a cluster can be found. */
import { spreadHash } from './net/hash.ts';

/** The namespace of Hawser itself and its secrets. The chart's namespace; passed on as HAWSER_NAMESPACE. */
export const defaultNamespace = 'hawser-system';

export const labels = {
  /** On everything that Hawser creates: the component that created it. */
  managedBy: 'app.kubernetes.io/managed-by',
  /** Remote cluster ID that an object belongs to. */
  remoteCluster: 'hawser.dev/remote-cluster',
  /** Peering (`<remote ID>.<peering>`) that an object belongs to. */
  peering: 'hawser.dev/peering',
  /** On virtual nodes, value `true`. */
  virtualNode: 'hawser.dev/virtual-node',
  /** On nodes that may hold a tunnel endpoint, value `true`. */
  gatewayNode: 'hawser.dev/gateway',
  /** On a consumer's namespaces with offloading, value the pod placement; the pod webhook selects by it. */
  offloading: 'hawser.dev/offloading',
  /** On twin namespaces, real pods and reflected objects: the consumer's ID. */
  origin: 'hawser.dev/origin',
  /** On twin namespaces and reflected objects: the consumer's namespace. */
  originNamespace: 'hawser.dev/origin-namespace',
  /** On reflected objects, value `true`. */
  reflected: 'hawser.dev/reflected',
  /** On reflected EndpointSlices: the Service whose endpoints they record. */
  recordedService: 'hawser.dev/service-name',
  /** On the EndpointSlices that the provider creates from those records, value `true`. */
  served: 'hawser.dev/served',
} as const;

export const annotations = {
  /** On a consumer's namespace, by the webhook: when its NamespaceOffloading was admitted, RFC 3339. */
  offloadingAdmitted: 'hawser.dev/offloading-admitted-at',
  /** On real pods: UID of the consumer's pod. */
  originPodUID: 'hawser.dev/origin-pod-uid',
  /** On an OutgoingPeering, any new value: the controller requests the provider report at once. */
  askProvider: 'hawser.dev/ask-provider',
  /** On a FabricNode, `{"id", "address"?}`: the node probes that address and counts packets meanwhile. */
  trace: 'hawser.dev/trace',
  /** On a Tunnel, comma-separated: mapped ranges that may move, since a range of this cluster overlaps them. */
  approvedRemaps: 'hawser.dev/approved-remaps',
  /** On a ShadowPod, by the consumer: `status.stoppedAt` of the stop after which its pod should run again. */
  resume: 'hawser.dev/resume-stopped-at',
} as const;

/** Virtual nodes carry it with NoSchedule; pods of offloaded namespaces tolerate it. */
export const virtualNodeTaint = 'hawser.dev/virtual-node';

/** On a tunnel endpoint's Secret and Service: its public key, base64. */
export const publicKeyAnnotation = 'hawser.dev/public-key';

export const finalizer = 'hawser.dev/cleanup';
/** On OutgoingPeerings, from their creation: objects of the peering are deleted first, then the provider ends it. */
export const peeringFinalizer = 'hawser.dev/peering';

/** Secrets and ConfigMaps in Hawser's namespace. */
export const secrets = {
  /** Keys `privateKey`, `publicKey` (Ed25519, base64) and `clusterID`. Controller only. */
  clusterKey: 'hawser-cluster-key',
  /** TLS certificate and key of the gateway (`tls.crt`, `tls.key`). */
  gatewayCertificate: 'hawser-gateway-tls',
  /** Pre-shared keys of tunnels: one key per remote, `<remote ID>` → base64 of 32 bytes. Nodes read it by name. */
  tunnelKeys: 'hawser-tunnel-keys',
  /** X25519 private key of a tunnel endpoint (`privateKey`, base64). Nodes read it by name. */
  tunnelEndpoint: (name: string) => `hawser-tunnel-endpoint-${name}`,
  /** Consumer: identity for a provider's API (`identity.json`). */
  identity: (peering: string) => `hawser-identity-${peering}`,
  /** Consumer: the peering token of an in-band peering that is being opened. A fixed name, so that a role can name it. */
  inBandToken: 'hawser-in-band-token',
} as const;

/** Service of a tunnel endpoint's UDP port. */
export const endpointService = (name: string): string => `hawser-tunnel-${name}`;
/** Lease of a tunnel endpoint: the controller sets the holder, and the holder renews it. */
export const endpointLease = (name: string): string => `hawser-tunnel-endpoint-${name}`;
export const gatewayService = 'hawser-gateway';

/** Shortens to at most `limit` characters. A 32-bit hash of the whole name avoids collisions; it is not for security. */
export function shorten(name: string, limit: number): string {
  if (name.length <= limit) return name;
  const hash = spreadHash(name).toString(16).padStart(8, '0');
  return `${name.slice(0, limit - 9).replace(/[-.]+$/, '')}-${hash}`;
}

/** Name of a peering's object on either side: `<remote ID>` for the first one, `<remote ID>.<peering>` for others. */
export function peeringName(remoteCluster: string, peering: string): string {
  return peering === defaultPeering ? remoteCluster : `${remoteCluster}.${peering}`;
}

export const defaultPeering = 'default';

/** The provider's namespace for one peering of one consumer. */
export function tenantNamespace(consumer: string, peering: string): string {
  const whole = peering === defaultPeering ? consumer : `${consumer}-${peering}`;
  return shorten(`hawser-tenant-${whole}`, 63);
}

/** The consumer's service account in its tenant namespace. */
export const tenantServiceAccount = 'consumer';

/** Lease in the tenant namespace by which the consumer shows its presence. */
export const consumerLease = 'hawser-consumer';

/** The controller's own service account: only its pods may reach a remote's control plane inside the tunnel. */
export const controllerServiceAccount = 'hawser-controller';

/**
 * The suffix of a peering's twin namespaces: a dash and the distinct part of its tenant namespace's name, `-<consumer ID>` or
 * `-<consumer ID>-<peering>`. At most 50 characters; an admission policy derives the same from the tenant namespace.
 */
export function twinSuffix(consumer: string, peering: string): string {
  return tenantNamespace(consumer, peering).slice('hawser-tenant'.length);
}

/** Default name of a twin namespace; a namespace has one in each of a consumer's peerings with a provider. */
export function twinName(sourceNamespace: string, consumer: string, peering = defaultPeering): string {
  const suffix = twinSuffix(consumer, peering);
  return `${shorten(sourceNamespace, 63 - suffix.length)}${suffix}`;
}

/** Default name of a virtual node. */
export function nodeName(provider: string, peering: string): string {
  return shorten(peering === defaultPeering ? `hawser-${provider}` : `hawser-${provider}-${peering}`, 63);
}

/** RFC 1123 label: lower-case letters, digits and dashes; the first and last character are no dash. */
export const labelPattern = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
/** Shorter than a label (63), so that names can consist of an ID and a prefix. */
export const longestClusterID = 40;

export const isClusterID = (text: string): boolean =>
  text.length <= longestClusterID && labelPattern.test(text);
