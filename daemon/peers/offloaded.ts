/**
 * What the consumer itself says of which namespace is at which provider. A provider lists twin namespaces, and may list what it
 * likes: whatever is sent there follows from this cluster's NamespaceOffloadings alone.
 */
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import { labels } from '../../shared/names.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { Namespace } from '../../shared/kube/types.ts';
import type { ControllerContext } from '../kube/context.ts';

/** The one NamespaceOffloading of a namespace. */
const offloadingName = 'offloading';

/** The namespaces that may not be offloaded: what the cluster itself needs to come up. */
export function isOffloadable(namespace: string, own: string): boolean {
  return namespace !== own && !namespace.startsWith('kube-');
}

/** Whether the virtual node is among those that the namespace may use. Absent selector: every one. */
export function selects(
  selector: NamespaceOffloading['spec']['clusterSelector'],
  nodeLabels: Readonly<Record<string, string>> | undefined,
): boolean {
  return Object.entries(selector?.matchLabels ?? {}).every(([label, value]) => nodeLabels?.[label] === value);
}

/** Whether anything of a namespace is sent to the provider behind a virtual node. Pure. */
export function isOffloaded(
  namespace: Namespace | undefined,
  offloading: NamespaceOffloading | undefined,
  nodeLabels: Readonly<Record<string, string>> | undefined,
  own: string,
): boolean {
  return (
    namespace !== undefined &&
    namespace.metadata.labels?.[labels.origin] === undefined &&
    isOffloadable(namespace.metadata.name, own) &&
    offloading !== undefined &&
    offloading.metadata.deletionTimestamp === undefined &&
    nodeLabels !== undefined &&
    selects(offloading.spec.clusterSelector, nodeLabels)
  );
}

/** Asks it of the caches: may objects of the namespace be sent to the provider behind the virtual node of that name? */
export function offloadedNamespaces(
  context: ControllerContext,
): (namespace: string, nodeName: string) => boolean {
  const offloadings = context.informer(kind.namespaceOffloading);
  const namespaces = context.informer(kind.namespace);
  const nodes = context.informer(kind.node);
  return (namespace, nodeName) => {
    const node = nodes.get(undefined, nodeName);
    return isOffloaded(
      namespaces.get(undefined, namespace),
      offloadings.get(namespace, offloadingName),
      node && (node.metadata.labels ?? {}),
      context.namespace,
    );
  };
}
