/** Hawser's objects in a cluster of the testbed, read and edited with an administrator's rights. */
import type { LocalCluster, RemoteCluster } from '../../shared/api/clusters.ts';
import type { FabricNode, AddressMapping, Tunnel } from '../../shared/api/network.ts';
import type { IncomingPeering, OutgoingPeering } from '../../shared/api/peerings.ts';
import type { BedCluster } from '../testbed/index.ts';

interface Kinds {
  localclusters: LocalCluster;
  remoteclusters: RemoteCluster;
  tunnels: Tunnel;
  fabricnodes: FabricNode;
  addressmappings: AddressMapping;
  incomingpeerings: IncomingPeering;
  outgoingpeerings: OutgoingPeering;
}

export async function listed<K extends keyof Kinds>(cluster: BedCluster, plural: K): Promise<Kinds[K][]> {
  const text = await cluster.kubectl(['get', `${plural}.hawser.dev`, '-o', 'json']);
  return (JSON.parse(text) as { items: Kinds[K][] }).items;
}

/** The only object of a kind; throws if there is none or more than one. */
export async function only<K extends keyof Kinds>(cluster: BedCluster, plural: K): Promise<Kinds[K]> {
  const [first, second] = await listed(cluster, plural);
  if (first === undefined || second !== undefined) throw new Error(`not one of ${plural} in ${cluster.name}`);
  return first;
}

export async function patch(
  cluster: BedCluster,
  resource: string,
  name: string,
  change: object,
  ...more: string[]
): Promise<void> {
  await cluster.kubectl(['patch', resource, name, '--type=merge', '-p', JSON.stringify(change), ...more]);
}

export const patchLocal = (cluster: BedCluster, spec: object): Promise<void> =>
  patch(cluster, 'localcluster.hawser.dev', 'self', { spec });

/** Reads a value of a Secret in Hawser's namespace. */
export async function secretValue(
  cluster: BedCluster,
  namespace: string,
  name: string,
  key: string,
): Promise<string> {
  const text = await cluster.kubectl(['get', 'secret', '-n', namespace, name, '-o', 'json']);
  const { data } = JSON.parse(text) as { data: Record<string, string> };
  return Buffer.from(data[key] ?? '', 'base64').toString('utf8');
}
