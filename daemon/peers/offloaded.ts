/**
 * Which namespaces are offloaded to which provider, according to the consumer. A provider may list any twin namespaces it
 * likes, so what is sent there depends only on this cluster's NamespaceOffloadings.
 */
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import { labels } from '../../shared/names.ts';
import { kind } from '../../shared/kube/refs.ts';
import type { Namespace } from '../../shared/kube/types.ts';
import type { ControllerContext } from '../kube/context.ts';

/** The one NamespaceOffloading of a namespace. */
const offloadingName = 'offloading';

/** Namespaces that must not be offloaded, since the cluster needs them to start. */
export function isOffloadable(namespace: string, own: string): boolean {
  return namespace !== own && !namespace.startsWith('kube-');
}

/** Whether the namespace may use the virtual node. An absent selector matches every node. */
export function selects(
  selector: NamespaceOffloading['spec']['clusterSelector'],
  nodeLabels: Readonly<Record<string, string>> | undefined,
): boolean {
  return Object.entries(selector?.matchLabels ?? {}).every(([label, value]) => nodeLabels?.[label] === value);
}

/** Whether objects of a namespace may be sent to the provider behind a virtual node. Pure. */
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

/** The same from the caches, for the virtual node of that name. */
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
