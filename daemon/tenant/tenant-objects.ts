/** The objects of a tenant namespace: the consumer's service account and its rights. Pure. */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { tenantServiceAccount } from '../../shared/names.ts';
import { kind, type AnyObject } from '../../shared/kube/refs.ts';
import type {
  Namespace,
  PolicyRule,
  ResourceQuota,
  Role,
  RoleBinding,
  Secret,
  ServiceAccount,
} from '../../shared/kube/types.ts';
import {
  consumerRole,
  gatewayRole,
  gatewayServiceAccount,
  identitySecret,
  objectQuotaName,
  ownerAnnotation,
  peeringLabels,
  tenantNamespaceOf,
  twinNamesAnnotation,
} from './names.ts';
import { tenantCounts, type Countable } from './object-limits.ts';

const rbacGroup = 'rbac.authorization.k8s.io';
const everything = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'];

/** In the tenant namespace: TwinNamespaces, and the Lease by which the consumer reports its presence. */
export const tenantRules: readonly PolicyRule[] = [
  // They do not change, so that there is nothing to write but a new one.
  { apiGroups: ['hawser.dev'], resources: ['twinnamespaces'], verbs: ['list', 'watch', 'create', 'delete'] },
  // By server-side apply.
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create', 'patch'] },
];

/**
 * In each twin: records of pods and policies, what pods use, and the logs and streams of its pods. Never pods, RBAC, quota or
 * policies. The code that uses each of them stands in deploy/rights.ts.
 */
export const twinRules: readonly PolicyRule[] = [
  { apiGroups: ['hawser.dev'], resources: ['shadowpods', 'shadowpolicies'], verbs: everything },
  { apiGroups: [''], resources: ['configmaps', 'secrets', 'services'], verbs: everything },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: everything },
  // Events explain why a pod does not start; the consumer mirrors them.
  { apiGroups: [''], resources: ['events'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
  // Also `get`: WebSockets begin with a GET (KEP-4006).
  { apiGroups: [''], resources: ['pods/exec', 'pods/attach', 'pods/portforward'], verbs: ['get', 'create'] },
];

/** The API gateway may issue tokens for the consumer's account only here; the role is in the chart. */
const gatewayBinding = (
  namespace: string,
  labels: Record<string, string>,
  hawserNamespace: string,
): RoleBinding => ({
  apiVersion: kind.roleBinding.apiVersion,
  kind: kind.roleBinding.kind,
  metadata: { name: gatewayRole, namespace, labels },
  roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name: gatewayRole },
  subjects: [{ kind: 'ServiceAccount', name: gatewayServiceAccount, namespace: hawserNamespace }],
});

/** A role and its binding to one service account. */
export function roleWithBinding(
  name: string,
  namespace: string,
  labels: Record<string, string>,
  rules: readonly PolicyRule[],
  subject: { name: string; namespace: string },
): [Role, RoleBinding] {
  const metadata = { name, namespace, labels };
  return [
    {
      apiVersion: kind.role.apiVersion,
      kind: kind.role.kind,
      metadata,
      rules: rules.map((rule) => ({ ...rule })),
    },
    {
      apiVersion: kind.roleBinding.apiVersion,
      kind: kind.roleBinding.kind,
      metadata,
      roleRef: { apiGroup: rbacGroup, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', ...subject }],
    },
  ];
}

/** The consumer's rights in a namespace, bound only while it is authorized. */
export function consumerRights(
  namespace: string,
  labels: Record<string, string>,
  rules: readonly PolicyRule[],
  tenant: string,
  authorized: boolean,
): AnyObject[] {
  const subject = { name: tenantServiceAccount, namespace: tenant };
  const [role, binding] = roleWithBinding(consumerRole, namespace, labels, rules, subject);
  return authorized ? [role, binding] : [role];
}

/**
 * The tenant namespace itself. Nothing runs in it.
 *
 * @param uid UID of the existing namespace, so that it is never applied to another one of the same name
 */
export function tenantNamespaceObject(peering: IncomingPeering, uid?: string): Namespace {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: tenantNamespaceOf(peering),
      ...(uid !== undefined && { uid }),
      labels: {
        ...peeringLabels(peering),
        'pod-security.kubernetes.io/enforce': 'restricted',
      },
      annotations: {
        [ownerAnnotation]: peering.metadata.uid ?? '',
        [twinNamesAnnotation]: (peering.spec.grant.twinNamespaces ?? []).join(','),
      },
    },
  };
}

/**
 * Everything in the tenant namespace except the identity Secret, which is created only once.
 *
 * @param authorized whether the consumer is authorized; only then its rights are bound
 */
export function tenantObjects(
  peering: IncomingPeering,
  hawserNamespace: string,
  authorized: boolean,
  countable: Countable,
): AnyObject[] {
  const namespace = tenantNamespaceOf(peering);
  const labels = peeringLabels(peering);
  const account: ServiceAccount = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: tenantServiceAccount, namespace, labels },
    automountServiceAccountToken: false,
  };
  const objects: ResourceQuota = {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: objectQuotaName, namespace, labels },
    spec: { hard: tenantCounts(peering.spec.grant, countable) },
  };
  return [
    account,
    objects,
    ...consumerRights(namespace, labels, tenantRules, namespace, authorized),
    gatewayBinding(namespace, labels, hawserNamespace),
  ];
}

/** The Secret whose deletion invalidates every token bound to it. It is empty. */
export function identitySecretObject(peering: IncomingPeering): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: identitySecret, namespace: tenantNamespaceOf(peering), labels: peeringLabels(peering) },
    type: 'Opaque',
  };
}
