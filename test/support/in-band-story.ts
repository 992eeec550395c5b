/** Two clusters that peer in-band with the rights of the chart's two ClusterRoles, and the steps of their story. */
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listed } from './api-objects.ts';
import { relayKubeconfig, type CuttingRelay } from './cutting-relay.ts';
import { hawser } from './installation.ts';
import { inventory, inventoryDifference, type Inventory } from './inventory.ts';
import { limitedKubeconfig, revokeLimited } from './limited-access.ts';
import { installedPair, node, outgoingPeeringOf, type Pair } from './peered.ts';
import { apply, dial, eventually, netexec, pods, readyPods, type PodFacts } from './workload.ts';
import type { BedCluster } from '../testbed/index.ts';
import { run, runAnyway, type RunResult } from '../testbed/run.ts';

const cli = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
/** A limit above all durations on a busy machine; waits end as soon as their condition holds. */
export const debouncer = 240;

export class InBandStory {
  readonly namespace = 'atelier';
  readonly pair: Pair;
  readonly relay: CuttingRelay;
  /** Pods that run at the provider, as the consumer sees them, the oldest first. */
  remote: PodFacts[] = [];
  local: PodFacts | undefined;
  readonly #limited: string;
  readonly #relayed: string;
  readonly #before: readonly Inventory[];

  private constructor(options: {
    pair: Pair;
    relay: CuttingRelay;
    limited: string;
    relayed: string;
    before: readonly Inventory[];
  }) {
    this.pair = options.pair;
    this.relay = options.relay;
    this.#limited = options.limited;
    this.#relayed = options.relayed;
    this.#before = options.before;
  }

  /** `keep` gets the pair as soon as it exists, so that it can be taken down after a failure. */
  static async begin(log: (line: string) => void, keep: (pair: Pair) => void): Promise<InBandStory> {
    const pair = await installedPair('in-band', log);
    keep(pair);
    // Nodes have state without any peering once they have an address: take the inventory after that.
    for (const cluster of [pair.consumer, pair.provider]) {
      await eventually(`every node of ${cluster.name} to be part of the fabric`, debouncer, async () => {
        const nodes = await listed(cluster, 'fabricnodes');
        const programmed = nodes.filter(({ status }) =>
          status?.conditions?.some((each) => each.type === 'Programmed' && each.status === 'True'),
        );
        return nodes.length === cluster.nodes.length && programmed.length === nodes.length;
      });
    }
    const before = [await inventory(pair.consumer), await inventory(pair.provider)];
    const [limited, relayed] = ['limited', 'relayed'].map((name) =>
      join(tmpdir(), `hawser-in-band-${process.pid}-${name}.kubeconfig`),
    ) as [string, string];
    await limitedKubeconfig(limited, [
      [pair.consumer, 'hawser-peer-consumer'],
      [pair.provider, 'hawser-peer-provider'],
    ]);
    const relay = await relayKubeconfig(limited, relayed);
    return new InBandStory({ pair, relay, limited, relayed, before });
  }

  async end(): Promise<void> {
    await this.relay[Symbol.asyncDispose]();
    await rm(this.#limited, { force: true });
    await rm(this.#relayed, { force: true });
  }

  /** A `hawser peer …` command with the rights of the two roles; through the relay where it is to be cut off. */
  command(words: readonly string[], by: 'itself' | 'relay' = 'itself'): string[] {
    const kubeconfig = by === 'relay' ? this.#relayed : this.#limited;
    const { name } = this.pair.provider;
    const where = ['--remote-context', name, '--kubeconfig', kubeconfig];
    return [process.execPath, cli, 'peer', ...words, ...where];
  }

  /** The command that starts the peering, with further arguments. */
  start = (...more: string[]): string[] => [
    '--in-band',
    '--cpu',
    '8',
    '--memory',
    '4Gi',
    '--pods',
    '20',
    '--timeout',
    String(debouncer),
    ...more,
  ];

  peer(...more: string[]): Promise<string> {
    return run(this.command(this.start(...more)), { timeoutMilliseconds: (debouncer * 2 + 60) * 1000 });
  }

  repair(provider: string, ...more: string[]): Promise<RunResult> {
    return runAnyway(this.command(['repair', provider, '--timeout', String(debouncer), ...more]), {
      timeoutMilliseconds: (debouncer * 2 + 60) * 1000,
    });
  }

  /** Offloads the story's namespace, with one pod at home and one at the provider. */
  async offload(): Promise<void> {
    const { consumer } = this.pair;
    await consumer.kubectl(['create', 'namespace', this.namespace]);
    await hawser(consumer, ['offload', 'namespace', this.namespace, '--timeout', '120']);
    await apply(
      consumer,
      this.namespace,
      netexec('remote', { replicas: 1, nodeSelector: { 'hawser.dev/virtual-node': 'true' } }),
      netexec('local', { nodeSelector: { 'kubernetes.io/hostname': consumer.nodes[1]?.name ?? '' } }),
    );
    this.remote = await readyPods(consumer, this.namespace, 'remote', 1, debouncer);
    [this.local] = await readyPods(consumer, this.namespace, 'local', 1, debouncer);
    await eventually('an answer from the offloaded pod', debouncer, () => this.ask());
  }

  /** Asks the offloaded pod for its name, from the pod at home. */
  ask(): Promise<string> {
    const { node: name = '', ip = '' } = this.local ?? {};
    return dial({
      from: { node: node(this.pair.consumer, name), ip },
      host: this.remote[0]?.ip ?? '',
      port: 8080,
      protocol: 'http',
      request: 'hostname',
    });
  }

  /** Scales the offloaded Deployment, and waits until that many pods are ready, which needs a working control plane. */
  async scale(replicas: number): Promise<void> {
    const { consumer } = this.pair;
    await consumer.kubectl(['scale', '-n', this.namespace, 'deployment/remote', `--replicas=${replicas}`]);
    const found = await readyPods(consumer, this.namespace, 'remote', replicas, debouncer);
    const [first] = this.remote;
    this.remote = [
      ...found.filter(({ name }) => name === first?.name),
      ...found.filter(({ name }) => name !== first?.name),
    ];
    await eventually('an answer from an offloaded pod', debouncer, () => this.ask());
  }

  /** State that a disruption would change: the first pod's identity. Also checks that the node still accepts pods. */
  async steadyState(): Promise<string> {
    const { consumer } = this.pair;
    await eventually('the virtual node to be Ready', debouncer, async () => {
      const ready = await this.condition(consumer, `node/${this.remote[0]?.node ?? ''}`, 'Ready');
      return ready['status'] === 'True';
    });
    const here = await pods(consumer, this.namespace, 'app=remote');
    const first = here.find(({ name }) => name === this.remote[0]?.name);
    return `${first?.uid}, ${first?.restarts} restarts`;
  }

  async condition(cluster: BedCluster, object: string, type: string): Promise<Record<string, string>> {
    const text = await cluster.kubectl(['get', object, '-o', 'json']);
    const { status } = JSON.parse(text) as { status?: { conditions?: Record<string, string>[] } };
    return status?.conditions?.find((each) => each['type'] === type) ?? {};
  }

  async unpeer(): Promise<void> {
    const { consumer, provider } = this.pair;
    await this.removeNamespace(consumer, this.namespace);
    await hawser(consumer, ['unpeer', await outgoingPeeringOf(consumer)]);
    for (const cluster of [consumer, provider]) {
      await eventually(`no remote and no tunnel in ${cluster.name}`, debouncer, async () => {
        const left = await cluster.kubectl(['get', 'remoteclusters,tunnels,incomingpeerings', '-o', 'name']);
        return left.trim() === '';
      });
    }
  }

  async removeNamespace(cluster: BedCluster, name: string): Promise<void> {
    if ((await cluster.kubectl(['get', 'namespace', name, '--ignore-not-found'])) === '') return;
    await hawser(cluster, ['unoffload', 'namespace', name]);
    await cluster.kubectl(['delete', 'namespace', name, '--timeout=90s'], { timeoutMilliseconds: 100_000 });
  }

  /** Also removes the limited access, and waits until both clusters have their former state. */
  async leavesNothing(): Promise<void> {
    const clusters = [this.pair.consumer, this.pair.provider];
    await revokeLimited(clusters);
    for (const [index, cluster] of clusters.entries()) {
      await eventually(`nothing of the peering to be left in ${cluster.name}`, debouncer, async () => {
        const difference = inventoryDifference(this.#before[index] ?? [], await inventory(cluster)).filter(
          // The story itself deleted a gateway pod, which was replaced.
          (line) => !/^[+-] pod\/(hawser-system\/)?hawser-gateway-/i.test(line),
        );
        if (difference.length > 0) throw new Error(difference.join(', '));
        return true;
      });
    }
  }
}
