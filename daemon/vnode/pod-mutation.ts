/** What the pod webhook adds to a new pod of an offloaded namespace. Pure. */
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import { labels, virtualNodeTaint } from '../../shared/names.ts';
import type { Pod } from '../../shared/kube/types.ts';

/** RFC 6902 */
export interface PatchOperation {
  op: 'add' | 'replace';
  path: string;
  value: unknown;
}

interface Toleration {
  key?: string;
  operator?: string;
  value?: string;
  effect?: string;
}
interface Term {
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
  matchFields?: unknown[];
}
interface Affinity {
  nodeAffinity?: {
    requiredDuringSchedulingIgnoredDuringExecution?: { nodeSelectorTerms?: Term[] };
    preferredDuringSchedulingIgnoredDuringExecution?: { weight: number; preference: Term }[];
  };
}

const ordinary: Term = { matchExpressions: [{ key: labels.virtualNode, operator: 'DoesNotExist' }] };
const toleration: Toleration = { key: virtualNodeTaint, operator: 'Exists', effect: 'NoSchedule' };

/**
 * A toleration of the virtual nodes' taint, and the node affinity of the placement: `Remote` allows only selected virtual
 * nodes, `LocalAndRemote` those and every ordinary node. Pods of a DaemonSet, pods with a node name and mirror pods are not
 * changed.
 *
 * @param refusedOn virtual nodes whose provider refused pods of the same owner: others are preferred
 */
export function mutatePod(
  pod: Pod,
  spec: Pick<NamespaceOffloading['spec'], 'podPlacement' | 'clusterSelector'>,
  refusedOn: readonly string[] = [],
): PatchOperation[] {
  if (spec.podPlacement === 'Local' || isBoundToNode(pod)) return [];
  const operations: PatchOperation[] = [];
  const present = (pod.spec?.['tolerations'] ?? []) as Toleration[];
  if (!present.some(toleratesVirtualNodes)) {
    operations.push(
      present.length === 0
        ? { op: 'add', path: '/spec/tolerations', value: [toleration] }
        : { op: 'add', path: '/spec/tolerations/-', value: toleration },
    );
  }
  const required = requiredTerms(spec);
  if (required !== undefined || refusedOn.length > 0)
    operations.push(setAffinity(pod, required ?? [], refusedOn));
  return operations;
}

/** For a pod that cannot be offloaded: if it tolerates every taint it could still be bound to a virtual node. */
export function keepAtHome(pod: Pod): PatchOperation[] {
  const present = (pod.spec?.['tolerations'] ?? []) as Toleration[];
  return present.some(toleratesVirtualNodes) ? [setAffinity(pod, [ordinary], [])] : [];
}

function setAffinity(pod: Pod, required: readonly Term[], refusedOn: readonly string[]): PatchOperation {
  const affinity = (pod.spec?.['affinity'] ?? {}) as Affinity;
  const theirs =
    affinity.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const preferred = affinity.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  // No requirement: the provider may have room again, and other nodes may have none.
  const elsewhere: Term = {
    matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: [...refusedOn] }],
  };
  return {
    op: 'add',
    path: '/spec/affinity',
    value: {
      ...affinity,
      nodeAffinity: {
        ...affinity.nodeAffinity,
        ...(required.length > 0 && {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: conjunction(theirs, required),
          },
        }),
        ...(refusedOn.length > 0 && {
          preferredDuringSchedulingIgnoredDuringExecution: [
            ...preferred,
            { weight: 100, preference: elsewhere },
          ],
        }),
      },
    },
  };
}

/** Whether its node is already determined: by a DaemonSet, by its creator, or as a mirror pod. */
export function isBoundToNode(pod: Pod): boolean {
  const owner = pod.metadata.ownerReferences?.find((each) => each.controller === true);
  return (
    (pod.spec?.nodeName ?? '') !== '' ||
    owner?.kind === 'DaemonSet' ||
    owner?.kind === 'Node' ||
    pod.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined
  );
}

function toleratesVirtualNodes(each: Toleration): boolean {
  const effect = each.effect === undefined || each.effect === '' || each.effect === 'NoSchedule';
  if (each.operator === 'Exists')
    return effect && (each.key === undefined || each.key === '' || each.key === virtualNodeTaint);
  return effect && each.key === virtualNodeTaint && each.value === 'true';
}

/** Alternative terms, one of which must match; undefined if none are required. */
function requiredTerms(
  spec: Pick<NamespaceOffloading['spec'], 'podPlacement' | 'clusterSelector'>,
): Term[] | undefined {
  const selected = Object.entries(spec.clusterSelector?.matchLabels ?? {}).toSorted(([one], [other]) =>
    one < other ? -1 : 1,
  );
  const virtual: Term = {
    matchExpressions: [
      { key: labels.virtualNode, operator: 'In', values: ['true'] },
      ...selected.map(([key, value]) => ({ key, operator: 'In', values: [value] })),
    ],
  };
  if (spec.podPlacement === 'Remote') return [virtual];
  if (selected.length === 0) return undefined;
  return [ordinary, virtual];
}

/** Terms are alternatives, so requiring both lists means every pair of terms (core/v1, NodeSelector). */
function conjunction(theirs: readonly Term[], ours: readonly Term[]): Term[] {
  if (theirs.length === 0) return [...ours];
  return theirs.flatMap((their) =>
    ours.map((our) => ({
      ...their,
      matchExpressions: [...(their.matchExpressions ?? []), ...(our.matchExpressions ?? [])],
    })),
  );
}
