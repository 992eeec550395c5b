/** Namespaces of several clusters, each spread over all of them behind one Service, and who reaches whom by what address. */
import * as assert from 'uvu/assert';
import type { Bed, BedCluster } from '../testbed/index.ts';
import { clusterIDOf, node } from './peered.ts';
import { addressOf, dial, eventually, netexec, pods, readyPods, type PodFacts } from './workload.ts';

/** A pod of a cluster, at the place where it really runs. */
export interface Member {
  name: string;
  at: BedCluster;
  namespace: string;
  facts: PodFacts;
}

interface Slices {
  items: { endpoints?: { addresses: string[]; conditions?: { ready?: boolean } }[] }[];
}

/** The answer that a pod gets when it asks another one with `request`. */
export const ask = (
  from: Member,
  host: string,
  request: string,
  protocol: 'http' | 'udp' = 'http',
  port = 8080,
) =>
  dial({ from: { node: node(from.at, from.facts.node), ip: from.facts.ip }, host, port, protocol, request });

export class SpreadStory {
  readonly #bed: Bed;
  readonly #ids = new Map<string, string>();
  /** Name of the namespaces, and of the Service in each. */
  readonly namespace: string;
  /** Labels of all pods behind the Service. */
  readonly labels: Readonly<Record<string, string>>;

  private constructor(bed: Bed, namespace: string) {
    this.#bed = bed;
    this.namespace = namespace;
    this.labels = { tier: namespace };
  }

  /** Call it once Hawser has given each cluster its ID. */
  static async of(bed: Bed, namespace: string): Promise<SpreadStory> {
    const story = new SpreadStory(bed, namespace);
    for (const cluster of bed.clusters) story.#ids.set(cluster.name, await clusterIDOf(cluster));
    return story;
  }

  idOf = (name: string): string => this.#ids.get(name) ?? '';
  twinOf = (consumer: string, peering = ''): string => `${this.namespace}-${this.idOf(consumer)}${peering}`;
  others = (name: string): string[] =>
    this.#bed.clusters.map((each) => each.name).filter((each) => each !== name);
  /** The first cluster has two pods at each of the others, the other clusters have one. */
  replicasOf = (consumer: string): number => (consumer === this.#bed.clusters[0]?.name ? 2 : 1);

  /** All pods of a cluster behind its one Service. */
  async membersOf(consumer: string): Promise<Member[]> {
    const home = await pods(this.#bed.cluster(consumer), this.namespace, `tier=${this.namespace}`);
    const places = [
      { at: this.#bed.cluster(consumer), namespace: this.namespace },
      ...this.others(consumer).map((each) => ({
        at: this.#bed.cluster(each),
        namespace: this.twinOf(consumer),
      })),
    ];
    const there = await Promise.all(
      places.map(async ({ at, namespace: where }) =>
        (await pods(at, where, `tier=${this.namespace}`))
          .filter(({ node: holder }) => at.nodes.some(({ name }) => name === holder))
          .map((facts): Member => ({ name: facts.name, at, namespace: where, facts })),
      ),
    );
    const members = there.flat();
    assert.equal(
      members.map(({ name }) => name).sort(),
      home.map(({ name }) => name).sort(),
      `${consumer}: each pod has its real one`,
    );
    return members;
  }

  /** The addresses of the Service's pods where a member runs: those in the slices there, each asked for its name. */
  async addressesFor(reader: Member, count: number): Promise<Map<string, string>> {
    const heard = await eventually(
      `${count} endpoints in ${reader.namespace} of ${reader.at.name}`,
      60,
      async () => {
        const text = await reader.at.kubectl([
          'get',
          'endpointslices',
          '-n',
          reader.namespace,
          '-l',
          `kubernetes.io/service-name=${this.namespace}`,
          '-o',
          'json',
        ]);
        const found = (JSON.parse(text) as Slices).items
          .flatMap(({ endpoints = [] }) => endpoints)
          .filter(({ conditions }) => conditions?.ready !== false)
          .flatMap(({ addresses }) => addresses);
        return found.length === count && found;
      },
    );
    const entries = await Promise.all(
      heard.map(async (address) => {
        const name = await eventually(`an answer of ${address} at ${reader.at.name}`, 60, () =>
          ask(reader, address, 'hostname'),
        );
        return [name, address] as const;
      }),
    );
    return new Map(entries);
  }

  /** Lets every pod of a cluster ask every other one by the addresses in its slices, and checks the source address there. */
  async everyPair(consumer: string): Promise<number> {
    const members = await this.membersOf(consumer);
    const known = new Map<string, Map<string, string>>();
    for (const member of members) {
      if (known.has(member.at.name)) continue;
      const addresses = await this.addressesFor(member, members.length);
      assert.equal([...addresses.keys()].sort(), members.map(({ name }) => name).sort());
      known.set(member.at.name, addresses);
    }
    let asked = 0;
    for (const protocol of ['http', 'udp'] as const) {
      for (const from of members) {
        for (const to of members) {
          if (from === to) continue;
          const what = `${consumer}: ${from.name} at ${from.at.name} → ${to.name} at ${to.at.name} by ${protocol}`;
          const address = known.get(from.at.name)?.get(to.name) ?? '';
          const seen = await eventually(what, 60, () => ask(from, address, 'clientip', protocol));
          assert.is(addressOf(seen), known.get(to.at.name)?.get(from.name), what);
          asked++;
        }
      }
    }
    return asked;
  }

  /** A Deployment behind the Service, on the virtual node of that provider. */
  remoteDeployment(provider: string, replicas: number): object {
    return netexec(`at-${provider}`, {
      replicas,
      labels: this.labels,
      nodeSelector: { 'hawser.dev/remote-cluster': this.idOf(provider) },
    });
  }

  /** Deletes a Deployment with its pods: terminating pods would disturb the next step. */
  async removeDeployment(cluster: BedCluster, name: string): Promise<void> {
    await cluster.kubectl(['delete', 'deployment', '-n', this.namespace, name]);
    await cluster.kubectl(
      ['wait', '--for=delete', 'pod', '-n', this.namespace, '-l', `app=${name}`, '--timeout=90s'],
      { timeoutMilliseconds: 100_000 },
    );
  }

  /** One of a cluster's pods at that provider, once all of them are ready. */
  async remotePod(consumer: string, provider: string): Promise<PodFacts> {
    const [pod] = await readyPods(
      this.#bed.cluster(consumer),
      this.namespace,
      `at-${provider}`,
      this.replicasOf(consumer),
      120,
    );
    if (pod === undefined) throw new Error(`${consumer} has no pod at ${provider}`);
    return pod;
  }
}
