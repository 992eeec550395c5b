/** All kinds, and the API server's paths of their objects. */
import type { LocalCluster, RemoteCluster } from '../api/clusters.ts';
import type { KubernetesObject } from '../api/meta.ts';
import type { FabricNode, AddressMapping, Tunnel } from '../api/network.ts';
import type { NamespaceOffloading, ShadowPod, TwinNamespace } from '../api/offloading.ts';
import type { IncomingPeering, OutgoingPeering, PeeringToken } from '../api/peerings.ts';
import type { ShadowPolicy } from '../api/policies.ts';
import type {
  ConfigMap,
  EndpointSlice,
  Event,
  Lease,
  LimitRange,
  Namespace,
  NetworkPolicy,
  Node,
  Pod,
  ResourceQuota,
  Role,
  RoleBinding,
  Secret,
  Service,
  ServiceAccount,
  ServiceCIDR,
} from './types.ts';

/** Any object that a client can write; spec and status depend on the kind. */
export type AnyObject = KubernetesObject;

/** A kind by its place in the API. `T` is the type of its objects, known only to the compiler. */
export interface KindRef<T extends AnyObject = AnyObject> {
  apiVersion: string;
  kind: string;
  plural: string;
  namespaced: boolean;
  readonly objectType?: T;
}

/** One object by kind and name. */
export interface Ref<T extends AnyObject = AnyObject> {
  kind: KindRef<T>;
  name: string;
  /** Required for namespaced kinds. */
  namespace?: string;
}

const define = <T extends AnyObject>(
  apiVersion: string,
  kind: string,
  plural: string,
  namespaced: boolean,
): KindRef<T> => ({ apiVersion, kind, plural, namespaced });

// Literal, so that a process that needs no schemas does not load them; a test compares the two.
const hawser = 'hawser.dev/v1alpha1';
const rbac = 'rbac.authorization.k8s.io/v1';

/** Every kind that Hawser reads or writes. */
export const kind = {
  namespace: define<Namespace>('v1', 'Namespace', 'namespaces', false),
  node: define<Node>('v1', 'Node', 'nodes', false),
  pod: define<Pod>('v1', 'Pod', 'pods', true),
  service: define<Service>('v1', 'Service', 'services', true),
  endpointSlice: define<EndpointSlice>('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices', true),
  secret: define<Secret>('v1', 'Secret', 'secrets', true),
  configMap: define<ConfigMap>('v1', 'ConfigMap', 'configmaps', true),
  serviceAccount: define<ServiceAccount>('v1', 'ServiceAccount', 'serviceaccounts', true),
  event: define<Event>('v1', 'Event', 'events', true),
  resourceQuota: define<ResourceQuota>('v1', 'ResourceQuota', 'resourcequotas', true),
  limitRange: define<LimitRange>('v1', 'LimitRange', 'limitranges', true),
  persistentVolumeClaim: define<AnyObject>('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims', true),
  lease: define<Lease>('coordination.k8s.io/v1', 'Lease', 'leases', true),
  networkPolicy: define<NetworkPolicy>('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies', true),
  serviceCIDR: define<ServiceCIDR>('networking.k8s.io/v1', 'ServiceCIDR', 'servicecidrs', false),
  role: define<Role>(rbac, 'Role', 'roles', true),
  roleBinding: define<RoleBinding>(rbac, 'RoleBinding', 'rolebindings', true),
  deployment: define<AnyObject>('apps/v1', 'Deployment', 'deployments', true),
  customResourceDefinition: define<AnyObject>(
    'apiextensions.k8s.io/v1',
    'CustomResourceDefinition',
    'customresourcedefinitions',
    false,
  ),
  mutatingWebhookConfiguration: define<AnyObject>(
    'admissionregistration.k8s.io/v1',
    'MutatingWebhookConfiguration',
    'mutatingwebhookconfigurations',
    false,
  ),
  tokenReview: define<AnyObject>('authentication.k8s.io/v1', 'TokenReview', 'tokenreviews', false),
  subjectAccessReview: define<AnyObject>(
    'authorization.k8s.io/v1',
    'SubjectAccessReview',
    'subjectaccessreviews',
    false,
  ),
  certificateSigningRequest: define<AnyObject>(
    'certificates.k8s.io/v1',
    'CertificateSigningRequest',
    'certificatesigningrequests',
    false,
  ),
  localCluster: define<LocalCluster>(hawser, 'LocalCluster', 'localclusters', false),
  remoteCluster: define<RemoteCluster>(hawser, 'RemoteCluster', 'remoteclusters', false),
  peeringToken: define<PeeringToken>(hawser, 'PeeringToken', 'peeringtokens', true),
  outgoingPeering: define<OutgoingPeering>(hawser, 'OutgoingPeering', 'outgoingpeerings', false),
  incomingPeering: define<IncomingPeering>(hawser, 'IncomingPeering', 'incomingpeerings', false),
  tunnel: define<Tunnel>(hawser, 'Tunnel', 'tunnels', false),
  fabricNode: define<FabricNode>(hawser, 'FabricNode', 'fabricnodes', false),
  addressMapping: define<AddressMapping>(hawser, 'AddressMapping', 'addressmappings', false),
  namespaceOffloading: define<NamespaceOffloading>(
    hawser,
    'NamespaceOffloading',
    'namespaceoffloadings',
    true,
  ),
  twinNamespace: define<TwinNamespace>(hawser, 'TwinNamespace', 'twinnamespaces', true),
  shadowPod: define<ShadowPod>(hawser, 'ShadowPod', 'shadowpods', true),
  shadowPolicy: define<ShadowPolicy>(hawser, 'ShadowPolicy', 'shadowpolicies', true),
} as const;

const byName = new Map<string, KindRef>(
  Object.values(kind).map((each) => [`${each.apiVersion}/${each.kind}`, each as KindRef]),
);

/** The kind of an object. Throws a TypeError if it is not in the table above: add it there. */
export function kindOf(object: { apiVersion: string; kind: string }): KindRef {
  const found = byName.get(`${object.apiVersion}/${object.kind}`);
  if (found === undefined)
    throw new TypeError(`kind ${object.apiVersion}/${object.kind} is not listed in shared/kube/refs.ts`);
  return found;
}

/** The reference of an object. */
export function refOf<T extends AnyObject>(object: T): Ref<T> {
  const { name, namespace } = object.metadata;
  return { kind: kindOf(object) as KindRef<T>, name, ...(namespace !== undefined && { namespace }) };
}

/** `namespace/name`, or the name of a cluster-scoped object: keys of informers and queues. */
export function keyOf(object: { metadata: { name: string; namespace?: string } }): string {
  const { name, namespace } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** The parts of a key. */
export function splitKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf('/');
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** Path of a collection, `/apis/…` (Kubernetes API concepts, "Resource URIs"). Without a namespace: all of them. */
export function collectionPath(kindRef: KindRef, namespace?: string): string {
  const root = kindRef.apiVersion.includes('/')
    ? `/apis/${kindRef.apiVersion}`
    : `/api/${kindRef.apiVersion}`;
  const scope = kindRef.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${kindRef.plural}`;
}

/** Path of one object, with its subresource if one is named. */
export function objectPath(ref: Ref, subresource?: string): string {
  if (ref.kind.namespaced && !ref.namespace)
    throw new TypeError(`${ref.kind.kind} ${ref.name} needs a namespace`);
  const path = `${collectionPath(ref.kind, ref.namespace)}/${encodeURIComponent(ref.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}
