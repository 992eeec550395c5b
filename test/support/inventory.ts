/** An inventory of a cluster's API and its nodes, to compare states before and after a test. */
import { quotaProbeName } from '../../daemon/tenant/names.ts';
import type { BedCluster } from '../testbed/index.ts';
import { run } from '../testbed/run.ts';

export type Inventory = readonly string[];

/** Kinds whose objects come and go independently, or only accumulate. */
const restless = new Set([
  'events',
  'events.events.k8s.io',
  'leases.coordination.k8s.io',
  'endpointslices.discovery.k8s.io',
]);

/** API objects by name, and the routes, rules, links and nft rules of each node's kernel. */
export async function inventory(cluster: BedCluster): Promise<Inventory> {
  const resources = (await cluster.kubectl(['api-resources', '--verbs=list', '-o', 'name']))
    .trim()
    .split('\n')
    .filter((name) => !restless.has(name) && !name.startsWith('componentstatuses'));
  const objects = await cluster.kubectl(
    ['get', resources.join(','), '-A', '-o', 'name', '--show-kind', '--ignore-not-found'],
    {
      timeoutMilliseconds: 60_000,
    },
  );
  const namespaced = await cluster.kubectl([
    'get',
    'pods,secrets,configmaps,services,serviceaccounts,roles,rolebindings,leases',
    '-A',
    '--no-headers',
    '-o',
    'custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name',
  ]);
  const lines = [
    ...objects.trim().split('\n'),
    ...namespaced
      .trim()
      .split('\n')
      .map((line) => line.trim().replace(/\s+/g, '/')),
  ];
  for (const node of cluster.nodes) {
    for (const [what, command] of kernelState) {
      const output = await run(['ip', 'netns', 'exec', node.netns, ...command]);
      for (const line of output.split('\n')) {
        const text = lasting(line);
        if (text !== '' && mattersOf(what, text)) lines.push(`${node.name} ${what}: ${text}`);
      }
    }
  }
  return [...new Set(lines.filter((line) => !line.endsWith(`/${quotaProbeName}`)))].sort();
}

const kernelState: readonly [string, readonly string[]][] = [
  ['rule', ['ip', 'rule', 'show']],
  ['route', ['ip', 'route', 'show', 'table', 'all']],
  ['link', ['ip', '-o', 'link', 'show', 'type', 'tun']],
  ['nft', ['nft', 'list', 'tables']],
];

/** Without the index and the link-local address, which change whenever a device is created again, as after a crash. */
const lasting = (line: string): string =>
  line
    .trim()
    .replace(/\s+/g, ' ')
    .replace(/^\d+: (?=\S+: <)/, '')
    .replace(/\bfe80:[0-9a-f:]+/, 'fe80::');

/** The CNI's routes and links change with pods, and are not Hawser's. */
function mattersOf(what: string, text: string): boolean {
  return (
    what !== 'route' ||
    !/\b(veth|cni0|scope link|local|broadcast|multicast|fe80)/.test(text) ||
    /hawser/.test(text)
  );
}

/** Lines in only one of the inventories: `+` is new, `-` is missing. */
export function inventoryDifference(before: Inventory, after: Inventory): string[] {
  const [was, is] = [new Set(before), new Set(after)];
  return [
    ...after.filter((line) => !was.has(line)).map((line) => `+ ${line}`),
    ...before.filter((line) => !is.has(line)).map((line) => `- ${line}`),
  ];
}
