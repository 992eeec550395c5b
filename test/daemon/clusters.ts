/** Control planes with Hawser's kinds and controller, and an API gateway, for tests of the daemon's features. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createLog,
  kind,
  silentLog,
  type AnyObject,
  type Feature,
  type KubeClient,
  type Secret,
} from '../../daemon/kube/index.ts';
import { runControllerWith } from '../../daemon/roles/controller.ts';
import { crdManifests } from '../../deploy/crds.ts';
import type { LocalCluster } from '../../shared/api/clusters.ts';
import { upControlPlane, type ControlPlane, type ControlPlaneOptions } from '../testbed/index.ts';
import { connectKube } from '../../daemon/clients/kubernetes/index.ts';
import { eventually } from '../support/eventually.ts';

export const namespace = 'hawser-system';
const root = new URL('../../', import.meta.url).pathname;

/** A loopback port without a listener at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** The controller's rights from the chart, with the chart's placeholders filled in. */
async function controllerRights(): Promise<string> {
  const template = await readFile(join(root, 'deploy/chart/templates/rbac-controller.yaml'), 'utf8');
  return template
    .replaceAll('{{ .Release.Namespace }}', namespace)
    .replace(/^.*\{\{- include "hawser\.labels".*\n/gm, '');
}

/** One cluster without nodes. */
export class Cluster {
  readonly plane: ControlPlane;
  readonly kube: KubeClient;
  readonly signal: AbortSignal;
  readonly gatewayPort: number;
  readonly directory: string;
  readonly #stop = new AbortController();
  #controller: { stop: AbortController; ended: Promise<void> } | undefined;
  #gateway: ChildProcess | undefined;
  readonly gatewayLog: string[] = [];

  constructor(plane: ControlPlane, gatewayPort: number, directory: string) {
    this.plane = plane;
    this.gatewayPort = gatewayPort;
    this.directory = directory;
    this.signal = this.#stop.signal;
    this.kube = connectKube({ url: plane.url, ca: plane.ca, token: () => plane.adminToken });
  }

  /** Starts the API server, installs the kinds, and sets this cluster's URLs. */
  static async start(
    options: ControlPlaneOptions & { name: string },
    spec: LocalCluster['spec'] = {},
  ): Promise<Cluster> {
    const [plane, port, directory] = await Promise.all([
      upControlPlane({ controllerManager: true, ...options }),
      freePort(),
      mkdtemp(join(tmpdir(), `hawser-test-${options.name}-`)),
    ]);
    const cluster = new Cluster(plane, port, directory);
    await cluster.apply(crdManifests() as unknown as AnyObject[]);
    await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'hawser-controller', namespace } },
      {
        apiVersion: 'hawser.dev/v1alpha1',
        kind: 'LocalCluster',
        metadata: { name: 'self' },
        spec: {
          name: options.name,
          podCIDRs: ['10.244.0.0/16'],
          gatewayURL: `https://127.0.0.1:${port}`,
          apiServerURL: plane.url,
          ...spec,
        },
      },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: {
          name: 'hawser-tunnel-one',
          namespace,
          annotations: { 'hawser.dev/public-key': Buffer.alloc(32, options.name).toString('base64') },
        },
        spec: { type: 'LoadBalancer', ports: [{ port: 7470, protocol: 'UDP' }] },
      },
    ]);
    await plane.kubectl(['apply', '-f', '-'], { input: await controllerRights() });
    await plane.kubectl(
      [
        'patch',
        'service',
        'hawser-tunnel-one',
        '-n',
        namespace,
        '--subresource=status',
        '--type=merge',
        '-p',
      ].concat(JSON.stringify({ status: { loadBalancer: { ingress: [{ ip: '198.18.0.1' }] } } })),
    );
    return cluster;
  }

  async apply(objects: readonly AnyObject[]): Promise<void> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    await this.plane.kubectl(['apply', '-f', '-'], { input: JSON.stringify(list) });
  }

  /** Runs features of the controller in this process, like the role, with exactly the rights that the chart grants. */
  async startController(features: Record<string, Feature>, podName = 'controller'): Promise<void> {
    const token = await this.plane.kubectl(['create', 'token', 'hawser-controller', '-n', namespace]);
    const kube = connectKube({ url: this.plane.url, ca: this.plane.ca, token: () => token.trim() });
    const stop = new AbortController();
    const log = process.env['TEST_LOG']
      ? createLog('debug', { fields: { cluster: this.plane.name } })
      : silentLog;
    const environment = { HAWSER_NAMESPACE: namespace, POD_NAME: podName, POD_IP: '127.0.0.1' };
    const ended = runControllerWith({ kube, log, environment, features, probePort: 0 }, stop.signal);
    ended.catch(() => {});
    this.#controller = { stop, ended };
  }

  async stopController(): Promise<void> {
    this.#controller?.stop.abort(new Error('the test ends it'));
    await this.#controller?.ended.catch(() => {});
    this.#controller = undefined;
  }

  /** Runs the gateway as a process, once the controller has issued its certificate. */
  async startGateway(): Promise<void> {
    const ref = { kind: kind.secret, namespace, name: 'hawser-gateway-tls' };
    const secret: Secret = await eventually('the certificate of the gateway', () =>
      this.kube.get(ref, this.signal),
    );
    for (const name of ['tls.crt', 'tls.key']) {
      await writeFile(join(this.directory, name), Buffer.from(secret.data?.[name] ?? '', 'base64'));
    }
    await writeFile(join(this.directory, 'ca.crt'), this.plane.ca);
    await writeFile(join(this.directory, 'token'), this.plane.adminToken);
    const server = new URL(this.plane.url);
    const metricsPort = await freePort();
    const child = spawn(process.execPath, [join(root, 'gateway/node.ts')], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HAWSER_NAMESPACE: namespace,
        LOG_LEVEL: 'debug',
        KUBERNETES_SERVICE_HOST: server.hostname,
        KUBERNETES_SERVICE_PORT: server.port,
        HAWSER_SERVICE_ACCOUNT_DIRECTORY: this.directory,
        HAWSER_TLS_DIRECTORY: this.directory,
        HAWSER_LISTEN_PORT: String(this.gatewayPort),
        HAWSER_METRICS_PORT: String(metricsPort),
      },
    });
    this.#gateway = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.gatewayLog.push(text);
        if (process.env['TEST_LOG']) process.stderr.write(text);
      });
    }
    await eventually('the gateway is ready', async () => {
      if (child.exitCode !== null) throw new Error(`the gateway ended: ${this.gatewayLog.join('')}`);
      return fetch(`http://127.0.0.1:${metricsPort}/readyz`).then(
        (answer) => answer.status === 200,
        () => false,
      );
    });
  }

  async stopGateway(): Promise<void> {
    const child = this.#gateway;
    this.#gateway = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.stopController();
    await this.stopGateway();
    this.#stop.abort();
    this.kube.close();
    await this.plane.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}
