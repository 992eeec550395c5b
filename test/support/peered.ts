/** Clusters that have Hawser installed, and the operations of the stories on them. */
import type { Tunnel } from '../../shared/api/network.ts';
import { up, type Bed, type BedCluster, type BedNode } from '../testbed/index.ts';
import { run } from '../testbed/run.ts';
import { listed } from './api-objects.ts';
import { hawser, install, makeImage, namespace } from './installation.ts';
import { eventually } from './workload.ts';

/** The consumer and the provider of a peering. */
export interface Peers {
  consumer: BedCluster;
  provider: BedCluster;
}

export interface Pair extends Peers {
  bed: Bed;
}

/** Clusters with the same ranges and Hawser installed in each, with two nodes each by default. */
export async function installedClusters(
  name: string,
  clusters: readonly string[],
  log: (line: string) => void,
  more: { nodes?: number; policies?: boolean } = {},
): Promise<Bed> {
  const [bed, archive] = await Promise.all([
    up({ name, clusters, nodes: 2, fresh: true, log, ...more }),
    makeImage(log),
  ]);
  await bed.loadImage(archive);
  await Promise.all(bed.clusters.map((cluster) => install(bed, cluster)));
  return bed;
}

/** Two clusters: rome as the consumer, milan as the provider. */
export async function installedPair(name: string, log: (line: string) => void): Promise<Pair> {
  const bed = await installedClusters(name, ['rome', 'milan'], log);
  return { bed, consumer: bed.cluster('rome'), provider: bed.cluster('milan') };
}

/** The generated ID of a cluster. */
export async function clusterIDOf(cluster: BedCluster): Promise<string> {
  const id = await cluster.kubectl([
    'get',
    'localclusters.hawser.dev',
    'self',
    '-o',
    'jsonpath={.status.clusterID}',
  ]);
  if (id === '') throw new Error(`${cluster.name} has no ID yet`);
  return id;
}

/** A bearer token that may only administer peering tokens. */
export async function tokenAdministrator(provider: BedCluster): Promise<string> {
  const manifest = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'token-administrator' } },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'token-administrator' },
      rules: [
        {
          apiGroups: ['hawser.dev'],
          resources: ['peeringtokens'],
          verbs: ['create', 'list', 'get', 'delete', 'patch'],
        },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'token-administrator' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'token-administrator' },
      subjects: [{ kind: 'ServiceAccount', name: 'token-administrator', namespace }],
    },
  ];
  await provider.kubectl(['apply', '-n', namespace, '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifest }),
  });
  const token = await provider.kubectl(['create', 'token', '-n', namespace, 'token-administrator']);
  return token.trim();
}

/** The URL of the API gateway's Service on the wide area, once the load balancer has assigned its address. */
export async function gatewayURL(provider: BedCluster): Promise<string> {
  return eventually(`an address for the gateway of ${provider.name}`, 60, async () => {
    const text = await provider.kubectl(['get', 'service', '-n', namespace, 'hawser-gateway', '-o', 'json']);
    const service = JSON.parse(text) as {
      spec: { ports: { port: number }[] };
      status: { loadBalancer: { ingress?: { ip?: string }[] } };
    };
    const ip = service.status.loadBalancer.ingress?.[0]?.ip;
    return ip !== undefined && `https://${ip}:${service.spec.ports[0]?.port}`;
  });
}

/** Sends a request to the API gateway with curl; the bearer token goes to standard input, so that no process list shows it. */
export async function curl(
  url: string,
  bearer: string,
  options: { method?: string; body?: string; expectFailure?: boolean } = {},
): Promise<{ status: number; body: string }> {
  const configuration = [
    `header = "Authorization: Bearer ${bearer}"`,
    ...(options.body === undefined
      ? []
      : ['header = "Content-Type: application/json"', `data = ${JSON.stringify(options.body)}`]),
  ].join('\n');
  const output = await run(
    ['curl', '-sS', '-k', '-m', '20', '-X', options.method ?? 'GET', '-w', '\n%{http_code}', '-K', '-', url],
    { input: configuration },
  );
  const cut = output.lastIndexOf('\n');
  return { status: Number(output.slice(cut + 1)), body: output.slice(0, cut) };
}

/** A peering token, issued with curl at the provider. */
export async function tokenOf(provider: BedCluster, request: object = {}): Promise<string> {
  const bearer = await tokenAdministrator(provider);
  const answer = await curl(`${await gatewayURL(provider)}/v1/tokens`, bearer, {
    method: 'POST',
    body: JSON.stringify(request),
  });
  if (answer.status !== 201) throw new Error(`no token: ${answer.status} ${answer.body}`);
  return (JSON.parse(answer.body) as { token: string }).token;
}

/** Issues a token at the provider, and peers with it. Returns the output of `hawser peer`. */
export async function peer(
  { consumer, provider }: Peers,
  request: object = {},
  options: readonly string[] = [],
): Promise<string> {
  return hawser(consumer, ['peer', '-', ...options], { input: await tokenOf(provider, request) });
}

/** All Tunnels of a cluster. */
export const tunnelsOf = (cluster: BedCluster): Promise<Tunnel[]> => listed(cluster, 'tunnels');

/** The only Tunnel of a cluster. */
export async function tunnelOf(cluster: BedCluster): Promise<Tunnel> {
  const tunnels = await tunnelsOf(cluster);
  const [first, second] = tunnels;
  if (first === undefined || second !== undefined) throw new Error(`${tunnels.length} tunnels, not one`);
  return first;
}

/** Name of the only OutgoingPeering of a cluster. */
export async function outgoingPeeringOf(consumer: BedCluster): Promise<string> {
  const peerings = await listed(consumer, 'outgoingpeerings');
  const [first, second] = peerings;
  if (first === undefined || second !== undefined)
    throw new Error(`${peerings.length} outgoing peerings, not one`);
  return first.metadata.name;
}

export function node(cluster: BedCluster, name: string): BedNode {
  const found = cluster.nodes.find((each) => each.name === name);
  if (found === undefined) throw new Error(`${cluster.name} has no node ${name}`);
  return found;
}
