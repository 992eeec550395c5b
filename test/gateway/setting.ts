/**
 * A provider for tests of the API gateway: a real API server with Hawser's kinds and the gateway's own rights from the chart,
 * and the gateway as a separate process, on Node or on Deno, with real TLS.
 *
 * The tests do the controller's part, since it is another process: LocalCluster's status, the certificate's Secret, and tenants
 * (namespace, service account, Secret, conditions).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  createGatewayClient,
  createRequestSigner,
  pinnedTransport,
  type GatewayClient,
  type Transport,
} from '../../daemon/clients/gateway/index.ts';
import { connectKube } from '../../daemon/clients/kubernetes/index.ts';
import type { KubeClient } from '../../shared/kube/client.ts';
import { kind, type AnyObject } from '../../shared/kube/refs.ts';
import { crdManifests } from '../../deploy/crds.ts';
import type { LocalCluster } from '../../shared/api/clusters.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import type { ProblemDocument } from '../../shared/errors.ts';
import { secrets, tenantNamespace, tenantServiceAccount } from '../../shared/names.ts';
import { ClusterKey } from '../../shared/trust/cluster-key.ts';
import { decodePeeringToken } from '../../shared/trust/token-codec.ts';
import {
  issueSelfSignedCertificate,
  type IssuedCertificate,
} from '../../shared/trust/self-signed-certificate.ts';
import type { IdentityRequest } from '../../shared/wire/gateway-api.ts';
import type { ControlPlane } from '../testbed/index.ts';
import { eventually } from '../support/eventually.ts';

export const namespace = 'hawser-system';
export const providerID = 'provider-a1b2';
const root = new URL('../../', import.meta.url).pathname;

export type RuntimeName = 'node' | 'deno';

/** A key from random bytes. */
export function newKey(): ClusterKey {
  return ClusterKey.generate((length) => crypto.getRandomValues(new Uint8Array(length)));
}

export class Fixture {
  readonly plane: ControlPlane;
  readonly kube: KubeClient;
  readonly providerKey: ClusterKey;
  readonly certificate: IssuedCertificate;
  readonly directory: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly runtime: RuntimeName;
  /** To the gateway's HTTPS port, verified by its pin. */
  readonly transport: Transport;
  /** The gateway's log lines. */
  readonly log: string[] = [];
  /** The stand-in for the tenant controller works while true. */
  tenants = true;
  #tenantSeconds = 15;
  #gateway: ChildProcess | undefined;
  readonly #stop = new AbortController();

  constructor(
    options: Pick<
      Fixture,
      'plane' | 'kube' | 'providerKey' | 'certificate' | 'directory' | 'port' | 'metricsPort' | 'runtime'
    >,
  ) {
    this.plane = options.plane;
    this.kube = options.kube;
    this.providerKey = options.providerKey;
    this.certificate = options.certificate;
    this.directory = options.directory;
    this.port = options.port;
    this.metricsPort = options.metricsPort;
    this.runtime = options.runtime;
    this.transport = pinnedTransport(options.certificate.pin);
  }

  /** `plane` is stopped together with the fixture. */
  static async start(runtime: RuntimeName, plane: ControlPlane): Promise<Fixture> {
    const directory = await mkdtemp(join(tmpdir(), 'hawser-gateway-test-'));
    const [port, metricsPort] = [await freePort(), await freePort()];
    const certificate = await issueSelfSignedCertificate({ hosts: ['127.0.0.1'], days: 30, now: Date.now() });
    const fixture = new Fixture({
      plane,
      kube: connectKube({ url: plane.url, ca: plane.ca, token: () => plane.adminToken }),
      providerKey: newKey(),
      certificate,
      directory,
      port,
      metricsPort,
      runtime,
    });
    await fixture.#prepare();
    void fixture.#standInForTenants();
    await fixture.startGateway();
    return fixture;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  async #prepare(): Promise<void> {
    const { plane } = this;
    const apply = (objects: readonly object[]) =>
      plane.kubectl(['apply', '-f', '-'], {
        input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
      });
    await apply(crdManifests());
    await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
    await apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'hawser-gateway', namespace } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'nobody', namespace } },
      { apiVersion, kind: 'LocalCluster', metadata: { name: 'self' }, spec: {} },
    ]);
    await plane.kubectl(['apply', '-f', '-'], { input: await gatewayRights() });
    await this.writeSelf({});
    await this.writeCertificate(this.certificate);
    await writeFile(join(this.directory, 'ca.crt'), plane.ca);
    await writeFile(
      join(this.directory, 'token'),
      await plane.kubectl(['create', 'token', 'hawser-gateway', '-n', namespace]),
    );
  }

  /** Writes a certificate where the gateway reads it: on Node in files, on Deno in the Secret, so that both ways are tested. */
  async writeCertificate(certificate: IssuedCertificate): Promise<void> {
    const pair = { 'tls.key': certificate.privateKey, 'tls.crt': certificate.certificate };
    if (this.runtime === 'node')
      for (const [file, text] of Object.entries(pair)) await writeFile(join(this.directory, file), text);
    else
      await this.plane.kubectl(['apply', '-f', '-'], {
        input: JSON.stringify({
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: secrets.gatewayCertificate, namespace },
          stringData: pair,
        }),
      });
  }

  /** Writes LocalCluster's status like the controller. */
  async writeSelf(changes: Partial<NonNullable<LocalCluster['status']>>): Promise<void> {
    const found = await this.kube.get({ kind: kind.localCluster, name: 'self' }, AbortSignal.timeout(5000));
    if (found === undefined) throw new Error('no LocalCluster');
    const status = {
      clusterID: providerID,
      publicKey: this.providerKey.publicKey,
      gatewayURL: this.url,
      gatewayPin: this.certificate.pin,
      apiServerURL: this.plane.url,
      ...changes,
    };
    await this.kube.replace({ ...found, status }, { subresource: 'status' }, AbortSignal.timeout(5000));
  }

  async startGateway(): Promise<void> {
    const server = new URL(this.plane.url);
    const command =
      this.runtime === 'node'
        ? [process.execPath, join(root, 'gateway/node.ts')]
        : [
            join(root, 'node_modules/.bin/deno'),
            'run',
            '--no-prompt',
            '--no-remote',
            '--unstable-net',
            '--unstable-no-legacy-abort',
            '--allow-net',
            '--allow-read',
            '--allow-env',
            join(root, 'gateway/deno.ts'),
          ];
    const [program = '', ...args] = command;
    const child = spawn(program, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        NO_COLOR: '1',
        HAWSER_NAMESPACE: namespace,
        LOG_LEVEL: 'debug',
        KUBERNETES_SERVICE_HOST: server.hostname,
        KUBERNETES_SERVICE_PORT: server.port,
        HAWSER_SERVICE_ACCOUNT_DIRECTORY: this.directory,
        ...(this.runtime === 'node' && { HAWSER_TLS_DIRECTORY: this.directory }),
        HAWSER_TENANT_SECONDS: String(this.#tenantSeconds),
        HAWSER_LISTEN_PORT: String(this.port),
        HAWSER_METRICS_PORT: String(this.metricsPort),
      },
    });
    this.#gateway = child;
    for (const stream of [child.stdout, child.stderr])
      stream
        .setEncoding('utf8')
        .on('data', (text: string) => this.log.push(...text.split('\n').filter((line) => line !== '')));
    await eventually(
      'the gateway to be ready',
      async () => {
        if (child.exitCode !== null) throw new Error(`the gateway ended:\n${this.log.slice(-20).join('\n')}`);
        return (await this.management('/readyz')).status === 200;
      },
      30_000,
      () => this.log.slice(-20).join('\n'),
    );
  }

  /** Runs a function with a gateway that waits only `seconds` for tenants. */
  async withTenantSeconds(seconds: number, run: () => Promise<void>): Promise<void> {
    const former = this.#tenantSeconds;
    try {
      this.#tenantSeconds = seconds;
      await this.stopGateway('SIGTERM');
      await this.startGateway();
      await run();
    } finally {
      this.#tenantSeconds = former;
      await this.stopGateway('SIGTERM');
      await this.startGateway();
    }
  }

  async stopGateway(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const child = this.#gateway;
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill(signal);
    return ended;
  }

  async management(path: string): Promise<{ status: number; text: string }> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.metricsPort}${path}`);
      return { status: response.status, text: await response.text() };
    } catch {
      return { status: 0, text: '' };
    }
  }

  /** A client with a bearer token. */
  administrator(bearer: string = this.plane.adminToken): GatewayClient {
    return createGatewayClient({
      url: this.url,
      pin: this.certificate.pin,
      bearer,
      transport: this.transport,
    });
  }

  /** A consumer with its own key. */
  consumer(clusterID: string, key: ClusterKey = newKey(), clock: () => number = Date.now): Consumer {
    const sign = createRequestSigner({ key, clusterID, recipient: this.providerKey.fingerprint, clock });
    const client = createGatewayClient({
      url: this.url,
      pin: this.certificate.pin,
      sign,
      transport: this.transport,
    });
    const request: IdentityRequest = {
      clusterID,
      publicKey: key.publicKey,
      peering: 'default',
      version: '0.1.0',
      features: [],
    };
    return { clusterID, key, client, sign, request };
  }

  /** Sends an unmodified request, without the client; returns the gateway's answer. */
  async raw(method: string, path: string, options: RawOptions = {}): Promise<RawAnswer> {
    const url = this.url + path;
    const body = typeof options.body === 'string' ? new TextEncoder().encode(options.body) : options.body;
    const signed = options.signedBy?.sign({ method, url, body: body ?? new Uint8Array(0) });
    const response = await this.transport.fetch(url, {
      method,
      headers: { ...(body && { 'content-type': 'application/json' }), ...signed, ...options.headers },
      signal: AbortSignal.timeout(30_000),
      ...(body && { body }),
    });
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    return {
      status: response.status,
      headers: response.headers,
      text,
      problem: type.startsWith('application/problem+json')
        ? (JSON.parse(text) as ProblemDocument)
        : undefined,
    };
  }

  /** The secret of a new token. */
  async newSecret(request: Parameters<GatewayClient['createToken']>[0] = {}): Promise<string> {
    return decodePeeringToken((await this.administrator().createToken(request)).token).secret;
  }

  /** A simple stand-in for the tenant controller. */
  async #standInForTenants(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      try {
        if (this.tenants) {
          const { items } = await this.kube.list(kind.incomingPeering, {}, signal);
          for (const peering of items) await this.#makeTenant(peering, signal);
        }
      } catch {
        // For example a conflict with the gateway: the next round repeats the work.
      }
      await delay(50, undefined, { signal }).catch(() => {});
    }
  }

  async #makeTenant(peering: IncomingPeering, signal: AbortSignal): Promise<void> {
    const { generation } = peering.metadata;
    if (peering.status?.observedGeneration === generation) return;
    const name = tenantNamespace(peering.spec.remoteCluster, peering.spec.peering);
    const make = (object: AnyObject & Record<string, unknown>) =>
      this.kube.create(object, signal).catch(() => {});
    await make({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    await make({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: tenantServiceAccount, namespace: name },
    });
    await make({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'identity', namespace: name },
      type: 'Opaque',
    });
    // Like the controller: the gateway may create tokens only in tenant namespaces.
    const rbac = 'rbac.authorization.k8s.io';
    await make({
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: { name: 'hawser-gateway-tenant', namespace: name },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'hawser-gateway-tenant' },
      subjects: [{ kind: 'ServiceAccount', name: 'hawser-gateway', namespace }],
    });
    const status: IncomingPeering['status'] = {
      ...(generation !== undefined && { observedGeneration: generation }),
      tenantNamespace: name,
      identitySecretName: 'identity',
      conditions: [
        {
          type: 'TenantReady',
          status: 'True',
          reason: 'Made',
          message: 'the stand-in has made it',
          lastTransitionTime: new Date().toISOString(),
        },
      ],
    };
    await this.kube.replace({ ...peering, status }, { subresource: 'status' }, signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.transport.close();
    this.kube.close();
    await this.stopGateway('SIGKILL');
    await this.plane.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export interface RawOptions {
  body?: string | Uint8Array;
  headers?: Record<string, string>;
  signedBy?: Consumer;
}

export interface RawAnswer {
  status: number;
  headers: Headers;
  text: string;
  problem: ProblemDocument | undefined;
}

export interface Consumer {
  clusterID: string;
  key: ClusterKey;
  client: GatewayClient;
  sign: ReturnType<typeof createRequestSigner>;
  request: IdentityRequest;
}

/** The gateway's rights from the chart, with the chart's placeholders filled in. */
async function gatewayRights(): Promise<string> {
  const template = await readFile(join(root, 'deploy/chart/templates/rbac-gateway.yaml'), 'utf8');
  return template
    .replaceAll('{{ .Release.Namespace }}', namespace)
    .replace(/^.*\{\{- include "hawser\.labels".*\n/gm, '');
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
