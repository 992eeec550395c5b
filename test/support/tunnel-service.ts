/** The Service of a cluster's tunnel, and DNS names for its address. */
import type { Bed, BedCluster } from '../testbed/index.ts';
import { patch } from './api-objects.ts';
import { namespace } from './installation.ts';
import { apply } from './workload.ts';

export const endpointService = 'hawser-tunnel-0';

/** Gives the Service another address of the load balancer, and returns it. */
export async function moveTunnelService(bed: Bed, cluster: BedCluster): Promise<string> {
  const text = await cluster.kubectl(['get', 'services', '-A', '-o', 'json']);
  const { items } = JSON.parse(text) as {
    items: { status?: { loadBalancer?: { ingress?: { ip?: string }[] } } }[];
  };
  const used = new Set(
    items.flatMap(({ status }) => status?.loadBalancer?.ingress?.map(({ ip }) => ip) ?? []),
  );
  const plan = bed.plan.clusters.find(({ name }) => name === cluster.name);
  const ip = plan?.loadBalancerPool.findLast((address) => !used.has(address));
  if (ip === undefined) throw new Error('no address is free');
  const status = { loadBalancer: { ingress: [{ ip }] } };
  await patch(cluster, 'service', endpointService, { status }, '-n', namespace, '--subresource=status');
  return ip;
}

/** The tunnel endpoint that a cluster declares. */
export async function tunnelEndpointOf(cluster: BedCluster): Promise<string> {
  const path = 'jsonpath={.status.tunnelEndpoints[0].addresses[0]}';
  return cluster.kubectl(['get', 'localcluster.hawser.dev', 'self', '-o', path]);
}

/** A DNS name in a cluster: a Service without a selector, which has only the given address. */
export async function nameAddress(cluster: BedCluster, name: string, address: string): Promise<string> {
  const ports = [{ name: 'tunnel', port: 7470, protocol: 'UDP' }];
  await apply(
    cluster,
    'default',
    { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { clusterIP: 'None', ports } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
      ports,
    },
  );
  return `${name}.default.svc.cluster.local`;
}
