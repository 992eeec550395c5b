/** All that there is in a cluster, by name, and on its nodes: compared before and after, it tells what was left. */
import type { BedCluster } from '../testbed/index.ts';

/** What comes and goes by itself in any cluster. */
const passing = new Set([
  'events',
  'events.events.k8s.io',
  'componentstatuses',
  'leases.coordination.k8s.io',
  'pods.metrics.k8s.io',
  'nodes.metrics.k8s.io',
]);

/** `Kind namespace/name` of every object of every kind, and `node: …` of what its nodes hold. */
export async function inventory(cluster: BedCluster, signal?: AbortSignal): Promise<Set<string>> {
  const [objects, ...nodes] = await Promise.all([
    objectsOf(cluster, signal),
    ...cluster.nodes.map((node) => hostStateOf(node, signal)),
  ]);
  return new Set([...objects, ...nodes.flat()]);
}

async function objectsOf(cluster: BedCluster, signal: AbortSignal | undefined): Promise<string[]> {
  const more = signal === undefined ? {} : { signal };
  const kinds = (await cluster.kubectl(['api-resources', '--verbs=list', '-o', 'name'], more))
    .split('\n')
    .map((line) => line.trim())
    .filter((kind) => kind !== '' && !passing.has(kind));
  const template = '{range .items[*]}{.kind}{" "}{.metadata.namespace}{"/"}{.metadata.name}{"\\n"}{end}';
  const text = await cluster.kubectl(
    ['get', kinds.join(','), '-A', '--ignore-not-found', '-o', `jsonpath=${template}`],
    { timeoutMilliseconds: 60_000, ...more },
  );
  return text.split('\n').filter((line) => line !== '');
}

/** Commands whose output is the same before and after, once what belongs to single pods is left out. */
const hostCommands: [command: string[], keep: (line: string) => boolean][] = [
  [['ip', '-o', 'link'], (line) => !/: veth/.test(line)],
  [['ip', 'rule'], () => true],
  [['ip', '-6', 'rule'], () => true],
  [['ip', 'route', 'show', 'table', 'all'], (line) => !/ dev veth|^broadcast|linkdown/.test(line)],
  [['ip', '-6', 'route', 'show', 'table', 'all'], (line) => !/veth|fe80|multicast/.test(line)],
  [['nft', 'list', 'tables'], () => true],
  [['ip', 'address'], (line) => /inet/.test(line) && !/fe80/.test(line)],
  [['cat', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv4/conf/all/rp_filter'], () => true],
];

async function hostStateOf(
  node: BedCluster['nodes'][number],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const lines = await Promise.all(
    hostCommands.map(async ([command, keep]) => {
      const text = await node.exec(command, signal === undefined ? {} : { signal });
      return (
        text
          .split('\n')
          .filter((line) => line.trim() !== '' && keep(line))
          // Indexes, and what the kernel counts, differ from time to time.
          .map(
            (line) =>
              `${node.name}: ${command.join(' ')}: ${line
                .replace(/^\d+: /, '')
                .replace(/ (qlen|valid_lft|preferred_lft) .*/, '')
                .trim()}`,
          )
      );
    }),
  );
  return lines.flat();
}

/** What is there now and was not before, and the other way round. */
export function difference(before: Set<string>, after: Set<string>): { left: string[]; lost: string[] } {
  return {
    left: [...after].filter((each) => !before.has(each)).toSorted(),
    lost: [...before].filter((each) => !after.has(each)).toSorted(),
  };
}
