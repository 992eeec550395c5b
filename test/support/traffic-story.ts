/** Two peered clusters with an echo server on the virtual node, and traffic to it from a pod at home. */
import { agnhostImage } from '../testbed/index.ts';
import { hawser } from './installation.ts';
import { echoServer, PassingTraffic } from './passing-traffic.ts';
import { installedPair, peer, type Pair } from './peered.ts';
import { apply, netexec, readyPods } from './workload.ts';

/** Node selector of pods that run at the provider. */
export const atProvider = { 'hawser.dev/virtual-node': 'true' };

export interface TrafficStory {
  pair: Pair;
  traffic: PassingTraffic;
}

/** Creates all of it; `keep` gets the pair as soon as it exists, so that it can be taken down after a failure. */
export async function trafficStory(
  name: string,
  log: (line: string) => void,
  keep: (pair: Pair) => void,
): Promise<TrafficStory> {
  const namespace = 'lasting';
  const pair = await installedPair(name, log);
  keep(pair);
  await peer(pair, { grant: { cpu: '4', memory: '4Gi', pods: 20 } });
  await pair.consumer.kubectl(['create', 'namespace', namespace]);
  await hawser(pair.consumer, ['offload', 'namespace', namespace]);
  // At first no end of the traffic is on a node that holds a tunnel endpoint: such nodes may fail.
  const [gatewayNode] = pair.provider.nodes;
  await pair.provider.kubectl(['cordon', gatewayNode?.name ?? '']);
  await apply(
    pair.consumer,
    namespace,
    echoServer('echo', atProvider, agnhostImage),
    netexec('asking', { nodeSelector: { 'kubernetes.io/hostname': pair.consumer.nodes[1]?.name ?? '' } }),
  );
  const [[asking]] = await Promise.all([
    readyPods(pair.consumer, namespace, 'asking', 1, 120),
    readyPods(pair.consumer, namespace, 'echo', 1, 120),
  ]);
  await pair.provider.kubectl(['uncordon', gatewayNode?.name ?? '']);
  const traffic = new PassingTraffic({
    bed: pair.bed,
    cluster: pair.consumer,
    namespace,
    from: asking?.name ?? '',
    server: 'echo',
  });
  await traffic.begin();
  return { pair, traffic };
}
