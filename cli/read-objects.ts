/** Reads all of Hawser's objects that describe this cluster's peerings. */
import type { RemoteCluster } from '../shared/api/clusters.ts';
import type { KubernetesObject } from '../shared/api/meta.ts';
import type { FabricNode, Tunnel } from '../shared/api/network.ts';
import type { NamespaceOffloading } from '../shared/api/offloading.ts';
import type { IncomingPeering, OutgoingPeering } from '../shared/api/peerings.ts';
import { localCluster } from './cluster.ts';
import { hawser, answerOf, type Kube, type Resource } from './kube.ts';
import type { ClusterObjects } from './status-report.ts';

/** Objects that this user may not read are left out and named. Throws CommandError where Hawser is not installed. */
export async function readObjects(kube: Kube): Promise<ClusterObjects> {
  const unreadable: string[] = [];
  const list = <T extends KubernetesObject>(plural: string) =>
    listAllowed<T>(kube, hawser(plural), unreadable);
  const [self, remotes, outgoing, incoming, tunnels, fabricNodes, offloadings] = await Promise.all([
    localCluster(kube),
    list<RemoteCluster>('remoteclusters'),
    list<OutgoingPeering>('outgoingpeerings'),
    list<IncomingPeering>('incomingpeerings'),
    list<Tunnel>('tunnels'),
    list<FabricNode>('fabricnodes'),
    list<NamespaceOffloading>('namespaceoffloadings'),
  ]);
  return { self, remotes, outgoing, incoming, tunnels, fabricNodes, offloadings, unreadable };
}

/** The list; empty, with the reason added to `unreadable`, when this user may not read it. */
export async function listAllowed<T extends KubernetesObject>(
  kube: Kube,
  resource: Resource,
  unreadable: string[],
): Promise<T[]> {
  try {
    return await kube.list<T>(resource);
  } catch (error) {
    if (answerOf(error)?.status !== 403) throw error;
    unreadable.push(`${resource.plural}: ${(error as Error).message}`);
    return [];
  }
}
