import { readFile, writeFile } from 'node:fs/promises';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { runFabricController } from '../../../daemon/fabric/controller/index.ts';
import {
  createEvents,
  createInformers,
  silentLog,
  type ControllerContext,
  type KubeClient,
} from '../../../daemon/kube/index.ts';
import { systemClock } from '../../../shared/time.ts';
import { crdManifests } from '../../../deploy/crds.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import type { FabricNode, Tunnel } from '../../../shared/api/network.ts';
import { ClusterKey } from '../../../shared/trust/cluster-key.ts';
import { signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import { upControlPlane, type ControlPlane } from '../../testbed/index.ts';
import type { TestNamespace } from '../host/namespace.ts';
import type { NetworkBed } from './network-bed.ts';
import { randomBytes } from 'node:crypto';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';
import { loadKubeconfig } from '../../../daemon/clients/kubernetes/kubeconfig.ts';

export const namespace = 'hawser-system';

/** A cluster with a real fabric only: an API server, the fabric's controller, nodes and pods in namespaces. */
export class ClusterBed {
  readonly id: string;
  readonly podRange: string;
  readonly externalCIDR: string;
  readonly key = new ClusterKey(randomBytes(32));
  readonly salt = randomBytes(32).toString('base64');
  readonly nodes = new Map<
    string,
    { space: TestNamespace; address: string; process?: ChildProcess; log: string[] }
  >();
  readonly #bed: NetworkBed;
  #plane: ControlPlane | undefined;
  #kube: KubeClient | undefined;
  #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  constructor(bed: NetworkBed, id: string, podRange: string, externalCIDR: string) {
    this.#bed = bed;
    this.id = id;
    this.podRange = podRange;
    this.externalCIDR = externalCIDR;
  }

  get plane(): ControlPlane {
    if (this.#plane === undefined) throw new Error('not up');
    return this.#plane;
  }

  async up(nodes: Record<string, number>): Promise<void> {
    const plane = await upControlPlane({ name: this.id });
    this.#plane = plane;
    await this.apply(...crdManifests());
    await plane.kubectl(['wait', '--for=condition=Established', '--timeout=20s', 'crd', '--all']);
    await this.addNamespace(namespace);
    await this.addNamespace('default');
    await this.apply(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'hawser-cluster-key', namespace },
        stringData: {
          privateKey: this.key.exportPrivateKey(),
          publicKey: this.key.publicKey,
          clusterID: this.id,
        },
      },
      { apiVersion, kind: 'LocalCluster', metadata: { name: 'self' }, spec: {} },
    );
    await this.status('localcluster', 'self', {
      clusterID: this.id,
      podCIDRs: [this.podRange],
      serviceCIDRs: ['10.96.0.0/16'],
      nodeCIDRs: [`${this.#bed.network}.0/24`],
      externalCIDR: this.externalCIDR,
      mtu: 1420,
    });
    const port = await this.#bed.publish(Number(new URL(plane.url).port));
    const text = (await readFile(plane.kubeconfig, 'utf8')).replace(
      plane.url,
      `https://${this.#bed.hostAddress}:${port}`,
    );
    const config = JSON.parse(text) as { clusters: { cluster: Record<string, string> }[] };
    for (const { cluster } of config.clusters) cluster['tls-server-name'] = 'kubernetes.default.svc';
    const path = join(plane.directory, 'nodes.kubeconfig');
    await writeFile(path, JSON.stringify(config), { mode: 0o600 });

    for (const [name, host] of Object.entries(nodes)) {
      const space = this.#bed.addNode(`${this.id}-${name}`, host, this.podRange);
      this.nodes.set(name, { space, address: `${this.#bed.network}.${host}`, log: [] });
      await this.apply({
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels: name === 'n2' ? { 'hawser.dev/gateway': 'true' } : {} },
      });
      await this.setReady(name, true);
    }
    this.startController();
  }

  startController(): void {
    const stop = new AbortController();
    this.#stop = stop;
    this.#running = (async () => {
      const kube = connectKube(
        await loadKubeconfig({ kubeconfig: this.plane.kubeconfig, environment: process.env }),
      );
      this.#kube = kube;
      const informers = createInformers(kube, {}, stop.signal);
      const context: ControllerContext = {
        kube,
        namespace,
        podIP: '',
        podName: 'test',
        nodeName: '',
        clusterName: this.id,
        resolve: async () => [],
        version: '0',
        clock: systemClock,
        log: silentLog,
        informer: (kind, options) => informers.informer(kind, options),
        events: createEvents({ kube, component: 'test', instance: 'test' }),
      };
      await runFabricController(context, stop.signal);
      await informers.ended();
    })();
  }

  async stopController(): Promise<void> {
    this.#stop.abort(new Error('the test stops it'));
    await this.#running;
  }

  startNode(name: string): void {
    const node = this.node(name);
    if (process.env['SHOW_LOGS'] !== undefined)
      console.error(`${new Date().toISOString()} start ${this.id}/${name}`);
    node.process = this.#bed.start(node.space, [process.execPath, join(import.meta.dirname, 'run-node.ts')], {
      environment: {
        KUBECONFIG: join(this.plane.directory, 'nodes.kubeconfig'),
        NODE_NAME: name,
        POD_IP: node.address,
        HAWSER_NAMESPACE: namespace,
        LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'info',
      },
      onError: (line) => {
        node.log.push(line);
        if (process.env['SHOW_LOGS'] !== undefined) console.error(`${this.id}/${name} ${line}`);
      },
    });
  }

  async endNode(name: string, signal: NodeJS.Signals): Promise<void> {
    const { process: child } = this.node(name);
    if (child !== undefined) await this.#bed.end(child, signal);
  }

  node(name: string) {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  async setReady(name: string, ready: boolean): Promise<void> {
    await this.status('node', name, {
      addresses: [{ type: 'InternalIP', address: this.node(name).address }],
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'Unknown' }],
    });
  }

  /** Includes the service account that every pod needs, since no controller creates it here. */
  async addNamespace(name: string): Promise<void> {
    await this.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    await this.apply({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'default', namespace: name },
    });
  }

  /** Creates a pod in the API and, if it runs here, its network namespace. */
  async addPod(
    name: string,
    node: string,
    address: string,
    podNamespace = 'default',
  ): Promise<TestNamespace | undefined> {
    const here = this.nodes.get(node);
    await this.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: podNamespace },
      spec: {
        nodeName: node,
        containers: [{ name: 'main', image: 'none' }],
        serviceAccountName: 'default',
        automountServiceAccountToken: false,
      },
    });
    await this.status(
      'pod',
      name,
      { phase: 'Running', podIP: address, podIPs: [{ ip: address }] },
      podNamespace,
    );
    return here && this.#bed.addPod(here.space, `${this.id}-${name}`, address);
  }

  /** Stores what the API gateways would exchange: the other cluster's document, and this cluster's own. */
  async know(other: ClusterBed): Promise<void> {
    const tunnel = await this.tunnel(other.id);
    const own = await this.document(other, tunnel);
    await this.apply({
      apiVersion,
      kind: 'RemoteCluster',
      metadata: { name: other.id },
      spec: {
        clusterID: other.id,
        publicKey: other.key.publicKey,
        controlPlane: 'OutOfBand',
        networkDocument: signNetworkDocument(
          await other.document(this, await other.tunnel(this.id)),
          other.key,
        ),
      },
    });
    await this.status('remotecluster', other.id, { localDocument: signNetworkDocument(own, this.key) });
  }

  async document(recipient: ClusterBed, tunnel: Tunnel | undefined) {
    const service = JSON.parse(
      (await this.plane.kubectl([
        'get',
        'service',
        'hawser-tunnel-0',
        '-n',
        namespace,
        '-o',
        'json',
        '--ignore-not-found',
      ])) || '{}',
    ) as { metadata?: { annotations?: Record<string, string> } };
    const publicKey = service.metadata?.annotations?.['hawser.dev/public-key'];
    const holder =
      (await this.fabricNodes()).find(({ spec }) => spec.tunnelEndpoint !== undefined)?.metadata.name ?? 'n2';
    return {
      version: 1 as const,
      clusterID: this.id,
      recipient: recipient.id,
      generation: Date.now(),
      requires: [],
      podCIDRs: [this.podRange],
      externalCIDR: this.externalCIDR,
      mtu: 1420,
      tunnelEndpoints:
        publicKey === undefined
          ? []
          : [{ name: '0', publicKey, addresses: [`${this.node(holder).address}:7470`] }],
      remaps: (tunnel?.spec.remaps ?? [])
        .filter(({ state }) => state === 'InUse')
        .map(({ real, mapped }) => ({ real, mapped })),
      salt: this.salt,
      acknowledges: 0,
    };
  }

  async tunnel(id: string): Promise<Tunnel | undefined> {
    const text = await this.plane.kubectl([
      'get',
      'tunnels.hawser.dev',
      id,
      '-o',
      'json',
      '--ignore-not-found',
    ]);
    return text.trim() === '' ? undefined : (JSON.parse(text) as Tunnel);
  }

  async fabricNodes(): Promise<FabricNode[]> {
    return (
      JSON.parse(await this.plane.kubectl(['get', 'fabricnodes.hawser.dev', '-o', 'json'])) as {
        items: FabricNode[];
      }
    ).items;
  }

  async apply(...objects: object[]): Promise<void> {
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    await this.plane.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input });
  }

  async status(kind: string, name: string, status: object, inNamespace = ''): Promise<void> {
    const where = inNamespace === '' ? [] : ['-n', inNamespace];
    await this.plane.kubectl([
      'patch',
      kind,
      name,
      ...where,
      '--subresource=status',
      '--type=merge',
      '-p',
      JSON.stringify({ status }),
    ]);
  }

  async down(): Promise<void> {
    await this.stopController();
    this.#kube?.close();
    await this.#plane?.stop();
  }
}

/** Waits for a condition; the error of a timeout names what was missing. */
export async function eventually<T>(
  what: string,
  seconds: number,
  look: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`not after ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
