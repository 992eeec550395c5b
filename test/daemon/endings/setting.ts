/**
 * Two clusters with controllers and API gateways, whose peerings end at every step. There are no nodes: this code writes what a
 * gateway node would report of the tunnel, and what a kubelet would report of the provider's pods.
 */
import { runTunnels } from '../../../daemon/fabric/controller/tunnels-controller.ts';
import { kind, type AnyObject, type Feature, type KindRef, type Pod } from '../../../daemon/kube/index.ts';
import { runPeering } from '../../../daemon/peering/index.ts';
import { runTenant } from '../../../daemon/tenant/index.ts';
import { quotaProbeName } from '../../../daemon/tenant/names.ts';
import { runVirtualNodes } from '../../../daemon/vnode/index.ts';
import type { NamespaceOffloading } from '../../../shared/api/offloading.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { Cluster, namespace } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';
import { Line } from '../line.ts';
import { isTrueOf } from '../peering/helpers.ts';

export const features: Record<string, Feature> = {
  peering: runPeering,
  tenant: runTenant,
  tunnels: runTunnels,
  'virtual-nodes': (context, signal) => runVirtualNodes(context, signal),
};
/** Converging takes seconds; a busy machine takes longer. */
export const debouncer = 60_000;
export const offloaded = 'shop';
const apiVersion = 'hawser.dev/v1alpha1';

export class EndingsFixture {
  readonly consumer: Cluster;
  readonly provider: Cluster;
  /** The consumer's connections to the provider's API gateway and API server. */
  readonly lines: readonly Line[];
  /** Whether gateway nodes report a verified path. */
  pathVerified = true;
  readonly #stop = new AbortController();
  readonly #played: Promise<void>[] = [];

  constructor(consumer: Cluster, provider: Cluster, lines: readonly Line[]) {
    this.consumer = consumer;
    this.provider = provider;
    this.lines = lines;
  }

  static async start(): Promise<EndingsFixture> {
    let ports = { gateway: 0, apiServer: 0 };
    const lines = [new Line(() => ports.gateway), new Line(() => ports.apiServer)];
    const [gateway, apiServer] = await Promise.all(lines.map((line) => line.open()));
    const [consumer, provider] = await Promise.all([
      Cluster.start({ name: 'consumer' }),
      Cluster.start(
        { name: 'provider' },
        {
          gatewayURL: `https://127.0.0.1:${gateway}`,
          apiServerURL: `https://127.0.0.1:${apiServer}`,
        },
      ),
    ]);
    ports = { gateway: provider.gatewayPort, apiServer: Number(new URL(provider.plane.url).port) };
    const fixture = new EndingsFixture(consumer, provider, lines);
    for (const cluster of [consumer, provider]) {
      await cluster.kube.create<AnyObject>(
        { apiVersion, kind: 'FabricNode', metadata: { name: 'one' }, spec: { tunnelEndpoint: 'one' } },
        cluster.signal,
      );
    }
    await consumer.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: offloaded } },
      {
        apiVersion,
        kind: 'NamespaceOffloading',
        metadata: { name: 'offloading', namespace: offloaded },
        spec: { podPlacement: 'LocalAndRemote' },
      },
    ]);
    await Promise.all([consumer.startController(features), provider.startController(features)]);
    await provider.startGateway();
    await eventually(
      'both know themselves',
      async () => {
        const locals = await Promise.all(
          [consumer, provider].map((each) =>
            each.kube.get({ kind: kind.localCluster, name: 'self' }, each.signal),
          ),
        );
        return locals.every((local) => isTrueOf(local, 'Ready'));
      },
      debouncer,
    );
    fixture.#played.push(fixture.#playGateways(), fixture.#playKubelet());
    return fixture;
  }

  setLines(state: Parameters<Line['set']>[0]): void {
    for (const line of this.lines) line.set(state);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#played);
    await Promise.all(this.lines.map((line) => line.close()));
    await Promise.all([this.consumer.stop(), this.provider.stop()]);
  }

  outgoing(name: string): Promise<OutgoingPeering | undefined> {
    return this.consumer.kube.get({ kind: kind.outgoingPeering, name }, this.consumer.signal);
  }

  offloading(): Promise<NamespaceOffloading | undefined> {
    const ref = { kind: kind.namespaceOffloading, namespace: offloaded, name: 'offloading' };
    return this.consumer.kube.get(ref, this.consumer.signal);
  }

  /** Creates a pod that is scheduled to the node. */
  async runPodOn(nodeName: string, name: string): Promise<void> {
    const { kube, signal } = this.consumer;
    const pod: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: offloaded },
      spec: {
        nodeName,
        containers: [{ name: 'main', image: 'example.com/pause:1' }],
        terminationGracePeriodSeconds: 1,
      },
    };
    await kube.create<Pod>(pod, signal);
  }

  podPhase = async (name: string): Promise<string | undefined> =>
    (await this.consumer.kube.get<Pod>({ kind: kind.pod, namespace: offloaded, name }, this.consumer.signal))
      ?.status?.phase;

  /** The state of pods and peerings, for the message of a failing test. */
  async describe(): Promise<string> {
    const [pods, peerings, shadows, real] = await Promise.all([
      this.consumer.kube.list(kind.pod, { namespace: offloaded }, this.consumer.signal),
      this.consumer.kube.list(kind.outgoingPeering, {}, this.consumer.signal),
      this.provider.kube.list(kind.shadowPod, {}, this.provider.signal),
      this.provider.kube.list(kind.pod, {}, this.provider.signal),
    ]);
    return JSON.stringify(
      [...peerings.items, ...pods.items, ...shadows.items, ...real.items].map(
        ({ kind: what, metadata, status }) => [what, metadata.namespace, metadata.name, status],
      ),
    );
  }

  /** Writes the reports of gateway nodes on both sides, repeatedly. */
  async #playGateways(): Promise<void> {
    await this.#again(500, async () => {
      for (const cluster of [this.consumer, this.provider]) {
        const { items } = await cluster.kube.list(kind.tunnel, {}, cluster.signal);
        const now = new Date().toISOString();
        const sessions = items.map(({ spec }) => ({
          remoteCluster: spec.remoteCluster,
          tunnelEndpoint: 'one',
          latestHandshake: now,
          probedAt: now,
          pathVerified: this.pathVerified,
          pathMessage: this.pathVerified ? 'a probe came back' : 'no probe came back',
          receivedBytes: 0,
          sentBytes: 0,
        }));
        await cluster.kube.patch(
          { kind: kind.fabricNode, name: 'one' },
          { status: { heldTunnelEndpoint: 'one', sessions } },
          { type: 'merge', subresource: 'status' },
          cluster.signal,
        );
      }
    });
  }

  /** Reports the consumer's pods as running as soon as they exist. */
  async #playKubelet(): Promise<void> {
    const { kube, signal } = this.provider;
    let address = 0;
    await this.#again(100, async () => {
      const { items } = await kube.list(kind.pod, { labelSelector: 'hawser.dev/origin' }, signal);
      for (const { metadata, status } of items) {
        if (status?.phase === 'Running' || metadata.deletionTimestamp !== undefined) continue;
        address = (address % 200) + 1;
        const podIP = `10.244.7.${address}`;
        await kube.patch(
          { kind: kind.pod, namespace: metadata.namespace ?? '', name: metadata.name },
          { status: { phase: 'Running', podIP, podIPs: [{ ip: podIP }] } },
          { type: 'strategic', subresource: 'status' },
          signal,
        );
      }
    });
  }

  /** Repeats work; objects that were deleted or changed meanwhile are handled in the next round. */
  async #again(milliseconds: number, work: () => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await work().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
    }
  }
}

/** All objects in a cluster's API of the kinds that Hawser reads or writes, by kind, namespace and name. */
export async function apiInventory(cluster: Cluster): Promise<Set<string>> {
  const restless = new Set<string>([kind.event.kind, kind.endpointSlice.kind]);
  const lists = await Promise.all(
    Object.values<KindRef>(kind)
      // Reviews are only requests, and never stored.
      .filter((each) => !restless.has(each.kind) && !/^auth[a-z]+\.k8s\.io\/.*$/.test(each.apiVersion))
      .map(async (each) => {
        const { items } = await cluster.kube.list(each, {}, cluster.signal);
        return items
          .filter(({ metadata }) => metadata.name !== quotaProbeName)
          .map(({ metadata }) => `${each.kind}/${metadata.namespace ?? ''}/${metadata.name}`);
      }),
  );
  return new Set(lists.flat());
}

/** Objects in only one of the inventories. Records of residue are kept on purpose, and ignored. */
export function differenceOf(before: ReadonlySet<string>, after: ReadonlySet<string>): string[] {
  return [
    ...[...after].filter((line) => !before.has(line)).map((line) => `+ ${line}`),
    ...[...before].filter((line) => !after.has(line)).map((line) => `- ${line}`),
  ].filter((line) => !line.endsWith(`ConfigMap/${namespace}/hawser-residue`));
}
