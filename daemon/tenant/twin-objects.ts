/** The objects of a twin namespace. Pure. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import type { TwinNamespace } from '../../shared/api/offloading.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { isAuthorized } from '../../shared/incoming-peerings.ts';
import { twinNameProblem, type TwinNameRules } from '../../shared/twin-names.ts';
import type { AnyObject } from '../../shared/kube/refs.ts';
import type { LimitRange, Namespace, ResourceQuota, ServiceAccount } from '../../shared/kube/types.ts';
import {
  limitRangeName,
  objectQuotaName,
  ownerAnnotation,
  quotaName,
  tenantNamespaceOf,
  twinLabels,
} from './names.ts';
import { isolationPolicies } from './isolation.ts';
import { twinCounts, type Countable } from './object-limits.ts';
import { consumerRights, twinRules } from './tenant-objects.ts';
import { restrainedRules, type Restraint } from './restraints.ts';
import { containerDefaults } from './container-resources.ts';
import { bounds } from './usage.ts';

/** Names that consumers must not use, even if no such namespace exists. */
const reservedNames = /^(kube-|openshift-|hawser-|default$)/;

/**
 * Why the consumer cannot have a namespace of that name; undefined if it can.
 *
 * @param present the namespace, if there is one
 * @param others suffixes of other peerings' twin namespaces
 */
export function nameProblem(
  twin: TwinNamespace,
  present: Namespace | undefined,
  rules: TwinNameRules,
  others: readonly string[],
): { reason: 'NameConflict' | 'NameReserved' | 'NameNotGranted'; message: string } | undefined {
  const name = twin.spec.namespace;
  const another =
    present !== undefined && present.metadata.annotations?.[ownerAnnotation] !== twin.metadata.uid;
  if (another && present.metadata.deletionTimestamp === undefined) {
    return {
      reason: 'NameConflict',
      message: `namespace ${name} exists on this cluster and is not this twin namespace; request another name (NamespaceOffloading spec.twinNamespace on the consumer)`,
    };
  }
  if (reservedNames.test(name)) {
    return {
      reason: 'NameReserved',
      message: `the name ${name} is reserved for the provider’s own namespaces; request another name (NamespaceOffloading spec.twinNamespace on the consumer)`,
    };
  }
  // A lowered grant does not affect existing namespaces, which keep their names.
  const problem = present === undefined ? twinNameProblem(name, rules, others) : undefined;
  if (problem !== undefined) {
    return {
      reason: 'NameNotGranted',
      message: `the name ${name} is refused: ${problem}; request another name (NamespaceOffloading spec.twinNamespace on the consumer)`,
    };
  }
  return undefined;
}

/**
 * The namespace.
 *
 * @param uid UID of the existing namespace, so that it is never applied to another one of the same name
 */
export function twinNamespaceObject(twin: TwinNamespace, peering: IncomingPeering, uid?: string): Namespace {
  const level = peering.spec.grant.podSecurity;
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: twin.spec.namespace,
      ...(uid !== undefined && { uid }),
      labels: {
        ...twinLabels(twin, peering),
        'pod-security.kubernetes.io/enforce': level,
        'pod-security.kubernetes.io/enforce-version': 'latest',
      },
      annotations: { [ownerAnnotation]: twin.metadata.uid ?? '' },
    },
  };
}

/** Other objects of the peering. */
export interface TenantView {
  /** Of this twin namespace. */
  quota?: ResourceQuota | undefined;
  otherQuotas?: readonly ResourceQuota[];
  restraints?: readonly Restraint[];
}

/** All of the provider's objects in it. */
export function twinObjects(
  twin: TwinNamespace,
  peering: IncomingPeering,
  network: { local: LocalCluster | undefined; tunnel: Tunnel | undefined },
  countable: Countable,
  tenant: TenantView = {},
): AnyObject[] {
  const namespace = twin.spec.namespace;
  const labels = twinLabels(twin, peering);
  const metadata = (name: string) => ({ name, namespace, labels });
  const grant = peering.spec.grant;
  // Created here, although Kubernetes would too, so that the first pod does not wait for it.
  const account: ServiceAccount = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: metadata('default'),
    automountServiceAccountToken: false,
  };
  // Each twin namespace has the whole grant; `admit` enforces the sum over all of them.
  const quota: ResourceQuota = {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: metadata(quotaName),
    spec: {
      hard: {
        pods: String(grant.pods),
        ...Object.fromEntries(
          bounds(grant).map(({ resource, part, granted }) => [`${part}.${resource}`, granted]),
        ),
        // A consumer must not expose the provider to the outside.
        'services.loadbalancers': '0',
        'services.nodeports': '0',
        persistentvolumeclaims: '0',
      },
    },
  };
  // Nor fill its store. A separate quota, so that pods are admitted while Kubernetes cannot count one of these kinds yet.
  const objects: ResourceQuota = {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: metadata(objectQuotaName),
    spec: { hard: twinCounts(grant, countable, tenant.quota, tenant.otherQuotas) },
  };
  const rules = restrainedRules(twinRules, tenant.restraints ?? []);
  const defaults = containerDefaults(grant);
  const limits: LimitRange = {
    apiVersion: 'v1',
    kind: 'LimitRange',
    metadata: metadata(limitRangeName),
    spec: {
      limits: [{ type: 'Container', default: defaults.limits, defaultRequest: defaults.requests }],
    },
  };
  return [
    account,
    quota,
    objects,
    limits,
    ...isolationPolicies(twin, peering, network),
    ...consumerRights(namespace, labels, rules, tenantNamespaceOf(peering), isAuthorized(peering)),
  ];
}
