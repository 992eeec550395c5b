/**
 * Limits on a consumer's objects. Each is an entry of up to 1.5 MiB (etcd's request limit) in this cluster's etcd, so without
 * limits one consumer could fill the store for everyone. Pure.
 */
import type { Grant } from '../../shared/api/grant.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import type { Finding } from '../../shared/conditions.ts';
import type { ResourceQuota } from '../../shared/kube/types.ts';
import { reasons } from './names.ts';
import { mostBytes, type Restraint } from './restraints.ts';

interface Scale {
  /** Number per granted pod. */
  perPod: number;
  /** Minimum total for a small grant: namespaces have Services and settings that no pod here uses. */
  least: number;
  most: number;
}

/** Totals over all twin namespaces of a peering, by the resource names of ResourceQuota. */
const inTwins = {
  // Records of finished pods stay as long as their pods at home.
  'count/shadowpods.hawser.dev': { perPod: 4, least: 64, most: 20_000 },
  'count/shadowpolicies.hawser.dev': { perPod: 2, least: 64, most: 1000 },
  'count/configmaps': { perPod: 4, least: 64, most: 4000 },
  'count/secrets': { perPod: 4, least: 64, most: 4000 },
  // Each uses an address of this cluster's Service range; a /20 has 4094.
  'count/services': { perPod: 2, least: 48, most: 1000 },
  // A record and its served slice.
  'count/endpointslices.discovery.k8s.io': { perPod: 8, least: 192, most: 8000 },
} satisfies Record<string, Scale>;

/** Limits in the tenant namespace. */
const inTenant = {
  'count/twinnamespaces.hawser.dev': { perPod: 1, least: 16, most: 256 },
  // One is in use; the second one is reserved for a future sign of presence.
  'count/leases.coordination.k8s.io': { perPod: 0, least: 2, most: 2 },
} satisfies Record<string, Scale>;

/**
 * Names of Hawser's own kinds that Kubernetes can already count. It discovers new kinds only every half minute; until then a
 * quota on them refuses all.
 */
export type Countable = ReadonlySet<string>;

const ownKind = /\.hawser\.dev$/;

/** Names under which Hawser's own kinds are counted. */
export const ownCounts: readonly string[] = Object.keys({ ...inTwins, ...inTenant }).filter((name) =>
  ownKind.test(name),
);

const between = ({ perPod, least, most }: Scale, grant: Grant): number =>
  Math.min(most, Math.max(least, perPod * grant.pods));

function hard(scales: Record<string, Scale>, grant: Grant, countable: Countable): Record<string, string> {
  return Object.fromEntries(
    Object.entries(scales)
      .filter(([name]) => !ownKind.test(name) || countable.has(name))
      .map(([name, scale]) => [name, String(between(scale, grant))]),
  );
}

const usedOf = (quota: ResourceQuota | undefined, name: string): number =>
  Number(quota?.status?.used?.[name] ?? 0);

/**
 * The quota of one twin namespace: its current usage plus an equal share of the peering's remainder. A ResourceQuota counts
 * only one namespace; this keeps the sum over all of them within the peering's limit.
 *
 * @param own the existing quota; undefined if there is none yet
 * @param others quotas of the peering's other twin namespaces
 */
export function twinCounts(
  grant: Grant,
  countable: Countable,
  own?: ResourceQuota,
  others: readonly ResourceQuota[] = [],
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(hard(inTwins, grant, countable)).map(([name, most]) => {
      const used = usedOf(own, name);
      const all = others.reduce((sum, each) => sum + usedOf(each, name), used);
      const share = Math.ceil(Math.max(0, Number(most) - all) / (others.length + 1));
      return [name, String(used + share)];
    }),
  );
}

/** The quota of the tenant namespace. */
export const tenantCounts = (grant: Grant, countable: Countable): Record<string, string> =>
  hard(inTenant, grant, countable);

/** Maximum number of twin namespaces of a consumer. */
export const mostTwins = (grant: Grant): number =>
  between(inTenant['count/twinnamespaces.hawser.dev'], grant);

/** Hawser's own kinds that a quota's status counts. */
export const countedOwn = (quota: ResourceQuota | undefined): string[] =>
  ownCounts.filter((name) => quota?.status?.used?.[name] !== undefined);

/** Exhausted resources of a quota, with their limits. */
export function fullCounts(quota: ResourceQuota): [name: string, most: string][] {
  const used = quota.status?.used ?? {};
  return Object.entries(quota.status?.hard ?? {})
    .filter(
      ([name, most]) => name.startsWith('count/') && most !== '0' && Number(used[name] ?? 0) >= Number(most),
    )
    .map(([name, most]) => [name.slice('count/'.length), most]);
}

const mostNamed = 5;

/** Whether the consumer may create more objects, from the quotas of its tenant and twin namespaces. */
export function objectsFinding(
  peering: IncomingPeering,
  quotas: readonly ResourceQuota[],
  restraints: readonly Restraint[] = [],
): Finding {
  const type = 'ObjectsAvailable';
  const { remoteCluster, grant } = peering.spec;
  if (restraints.includes('Bytes')) {
    const message = `the objects of ${remoteCluster} have more than ${mostBytes(grant) >> 20} MiB: it may write none in its twin namespaces until some are deleted there or more pods are granted (spec.grant)`;
    return { type, status: 'False', reason: reasons.BytesExhausted, message };
  }
  if (restraints.includes('Endpoints')) {
    const message = `${remoteCluster} kept naming addresses that are not those of its pods: it may write no EndpointSlices until ten minutes after the last attempt`;
    return { type, status: 'False', reason: reasons.EndpointsRestrained, message };
  }
  const full = quotas
    .flatMap((quota) =>
      fullCounts(quota).map(
        ([name, most]) => `${quota.metadata.namespace} has reached its limit of ${most} ${name}`,
      ),
    )
    .sort();
  if (full.length === 0) {
    const message = 'the tenant namespace and all twin namespaces are below their object limits';
    return { type, status: 'True', reason: reasons.ObjectsAvailable, message };
  }
  const more = full.length > mostNamed ? ` and ${full.length - mostNamed} more` : '';
  return {
    type,
    status: 'False',
    reason: reasons.ObjectsExhausted,
    message: `${full.slice(0, mostNamed).join(', ')}${more}: further objects of ${peering.spec.remoteCluster} are refused until some are deleted or more pods are granted (spec.grant)`,
  };
}
