/** The caches of vnode/ of both clusters, and queries that its controllers share. */
import type { LocalCluster } from '../../shared/api/clusters.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import type { NamespaceOffloading } from '../../shared/api/offloading.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { kind, type ControllerContext, type Informer } from '../kube/index.ts';
import { remoteClients, type RemoteClients } from '../peers/remote.ts';
import type { Namespace, NetworkPolicy, Node } from '../../shared/kube/types.ts';
import { virtualPods, type VirtualPods } from '../peers/virtual-pods.ts';

/** Field manager of vnode/, here and at providers. */
export const fieldManager = 'hawser-vnode';
/** Finalizer on OutgoingPeerings and NamespaceOffloadings, while vnode/ has something to remove. */
export const vnodeFinalizer = 'hawser.dev/vnode';

export interface Caches {
  context: ControllerContext;
  peerings: Informer<OutgoingPeering>;
  tunnels: Informer<Tunnel>;
  nodes: Informer<Node>;
  namespaces: Informer<Namespace>;
  offloadings: Informer<NamespaceOffloading>;
  localClusters: Informer<LocalCluster>;
  policies: Informer<NetworkPolicy>;
  pods: VirtualPods;
  remotes: RemoteClients;
  /** Milliseconds since 1970; deadlines count from the start of this process at the earliest. */
  startedAt: number;
}

/** Starts the informers. */
export function createCaches(context: ControllerContext, signal: AbortSignal): Caches {
  return {
    context,
    peerings: context.informer(kind.outgoingPeering),
    tunnels: context.informer(kind.tunnel),
    nodes: context.informer(kind.node),
    namespaces: context.informer(kind.namespace),
    offloadings: context.informer(kind.namespaceOffloading),
    localClusters: context.informer(kind.localCluster),
    policies: context.informer(kind.networkPolicy),
    pods: virtualPods(context),
    remotes: remoteClients(context, signal),
    startedAt: context.clock.now(),
  };
}

/** Since when this process has been waiting for the end of an object that is being deleted. */
export function waitingSince(caches: Caches, object: { metadata: { deletionTimestamp?: string } }): number {
  const deletedAt = Date.parse(object.metadata.deletionTimestamp ?? '');
  return Math.max(Number.isFinite(deletedAt) ? deletedAt : 0, caches.startedAt);
}

/** This cluster's ID; undefined until it has one. */
export function ownClusterID(caches: Caches): string | undefined {
  return caches.localClusters.get(undefined, 'self')?.status?.clusterID;
}

/** The peering whose virtual node has the name. */
export function peeringOfNode(caches: Caches, nodeName: string | undefined): OutgoingPeering | undefined {
  return caches.peerings.list().find((peering) => peering.spec.nodeName === nodeName);
}
