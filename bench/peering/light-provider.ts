/**
 * A provider without nodes: the real API gateway with its validation and signatures, real network documents and tunnel plans, a
 * real tunnel device that answers path probes, and a tenant at a real API server that many providers share. Only Hawser's own
 * objects are not in that API server but in memory (`light-store.ts`).
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import { promisify } from 'node:util';
import { getRequestListener } from '@hono/node-server';
import { KeyStore, keyRevision } from '../../daemon/fabric/controller/key-store.ts';
import { planNode } from '../../daemon/fabric/plan/node-plan.ts';
import { createProber, type Prober } from '../../daemon/fabric/node/prober.ts';
import { readInput } from '../../daemon/fabric/node/read-input.ts';
import { readDocuments } from '../../daemon/fabric/controller/remote-documents.ts';
import { planTunnel } from '../../daemon/fabric/controller/tunnel-plan.ts';
import { generateTunnelKey } from '../../daemon/fabric/tunnel-keys.ts';
import { createLog, isAlreadyExists, kind, silentLog, type KubeClient } from '../../daemon/kube/index.ts';
import { composeDocument } from '../../daemon/peering/compose-document.ts';
import { offerTo } from '../../daemon/peering/offer.ts';
import { readStored } from '../../shared/trust/documents-cache.ts';
import {
  identitySecretObject,
  tenantNamespaceObject,
  tenantObjects,
} from '../../daemon/tenant/tenant-objects.ts';
import { makeEngine } from '../../daemon/wireguard/engine-loader.ts';
import { EngineShell } from '../../daemon/wireguard/engine-driver.ts';
import { connectKube, createTransport, type KubeConnection } from '../../daemon/clients/kubernetes/index.ts';
import { createGatewayKubeClient } from '../../gateway/kube/client.ts';
import { createGatewayService } from '../../gateway/service.ts';
import type { LocalCluster, RemoteCluster } from '../../shared/api/clusters.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { FabricNode, Tunnel } from '../../shared/api/network.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { defaultNamespace } from '../../shared/names.ts';
import { parseRange } from '../../shared/net/cidr.ts';
import { probeAddress } from '../../shared/net/external-cidr.ts';
import { issuePeeringToken } from '../../shared/token-issue.ts';
import { ClusterKey } from '../../shared/trust/cluster-key.ts';
import { signNetworkDocument } from '../../shared/trust/network-documents.ts';
import {
  issueSelfSignedCertificate,
  type IssuedCertificate,
} from '../../shared/trust/self-signed-certificate.ts';
import { LightStore } from './light-store.ts';

const command = promisify(execFile);

/** The API server that many light providers share. */
export interface SharedServer {
  /** The URL for providers and consumers. */
  url: string;
  ca: string;
  adminToken: string;
}

export interface LightProviderOptions {
  /** Starting at 0; determines ports, addresses and names. */
  index: number;
  /** Address of the machine or namespace in which it runs, for consumers. */
  address: string;
  server: SharedServer;
}

/** A name in every API server's certificate. */
const serverName = 'kubernetes.default.svc';
const firstGatewayPort = 20_000;
const firstTunnelPort = 30_000;
/** Routing tables, one per tunnel device. */
const firstTable = 10_000;
const podCIDR = '10.244.0.0/16';
const tunnelEndpoint = '0';
const nodeName = 'only';

/** Contains 1,024 external CIDRs. */
const externalRanges = '100.64.0.0/10';

function externalRange(index: number): { cidr: string; node: string } {
  const base = (100 * 256 + 64) * 65_536 + index * 4_096;
  const text = (value: number) =>
    [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');
  return { cidr: `${text(base)}/20`, node: text(base + 16) };
}

export class LightProvider {
  readonly #index: number;
  readonly #address: string;
  readonly #server: SharedServer;
  readonly #key = new ClusterKey(randomBytes(32));
  readonly #tunnelKey = generateTunnelKey();
  readonly #keys = new KeyStore();
  readonly #store: LightStore;
  readonly #kube: KubeClient;
  readonly #stop = new AbortController();
  readonly #prober: Prober;
  readonly #device: string;
  readonly #tunnels = new Map<string, Tunnel>();
  readonly #tenants = new Set<string>();
  #shell: EngineShell | undefined;
  #listener: Server | undefined;
  #local: LocalCluster | undefined;

  constructor({ index, address, server }: LightProviderOptions) {
    this.#index = index;
    this.#address = address;
    this.#server = server;
    this.#device = `cni-light${index}`;
    const connection: KubeConnection = {
      url: server.url,
      ca: server.ca,
      tlsServerName: serverName,
      token: () => server.adminToken,
    };
    this.#store = new LightStore(createTransport(connection));
    this.#kube = connectKube(connection);
    this.#prober = createProber({ onChange: () => undefined, log: silentLog });
  }

  get clusterID(): string {
    return `light-${String(this.#index).padStart(3, '0')}`;
  }

  /** Opens the tunnel device and serves the API gateway. */
  async start(): Promise<void> {
    const certificate = await issueSelfSignedCertificate({
      hosts: [this.#address],
      days: 2,
      now: Date.now(),
    });
    this.#local = this.#localCluster(certificate);
    this.#store.put(this.#local);
    this.#store.onChange(({ plural }, object) => {
      if (plural === kind.remoteCluster.plural && object !== undefined) this.#follow(object as RemoteCluster);
      if (plural !== kind.incomingPeering.plural) return;
      if (object !== undefined) void this.#makeTenant(object as IncomingPeering);
      // The declared parameters depend on the peerings.
      for (const remote of this.#store.list(kind.remoteCluster)) this.#follow(remote);
    });
    await this.#openDevice();
    void this.#prober.run(this.#stop.signal);
    await this.#serve(certificate);
  }

  /** A peering token for `hawser peer`. */
  issueToken(): string {
    const issued = issuePeeringToken({
      issuer: this.#local?.status ?? {},
      namespace: defaultNamespace,
      grant: undefined,
      lifeSeconds: 3600,
      issuedBy: 'bench',
      managedBy: 'hawser-bench',
      secret: randomBytes(32),
      now: Date.now(),
    });
    if (!('token' in issued)) throw new Error(`no token: ${JSON.stringify(issued)}`);
    this.#store.put(issued.object);
    return issued.token;
  }

  close(): void {
    this.#stop.abort(new Error('the provider ends'));
    this.#listener?.closeAllConnections();
    this.#listener?.close();
    this.#shell?.close();
    this.#kube.close();
  }

  #localCluster(certificate: IssuedCertificate): LocalCluster {
    return {
      apiVersion,
      kind: 'LocalCluster',
      metadata: { name: 'self' },
      // The providers of one namespace share its addresses: reserve the range, so that no remap collides with another
      // provider's.
      spec: { reservedCIDRs: [externalRanges] },
      status: {
        clusterID: this.clusterID,
        publicKey: this.#key.publicKey,
        podCIDRs: [podCIDR],
        serviceCIDRs: ['10.96.0.0/16'],
        nodeCIDRs: [],
        externalCIDR: externalRange(this.#index).cidr,
        mtu: 1420,
        gatewayURL: `https://${this.#address}:${firstGatewayPort + this.#index}`,
        gatewayPin: certificate.pin,
        apiServerURL: this.#server.url,
        tunnelEndpoints: [
          {
            name: tunnelEndpoint,
            publicKey: this.#tunnelKey.publicKey,
            addresses: [`${this.#address}:${firstTunnelPort + this.#index}`],
          },
        ],
      },
    };
  }

  async #serve(certificate: IssuedCertificate): Promise<void> {
    const service = createGatewayService({
      kube: createGatewayKubeClient(this.#store.transport()),
      namespace: defaultNamespace,
      clock: Date.now,
      random: (length) => Uint8Array.from(randomBytes(length)),
      log: createLog('error', { fields: { provider: this.clusterID } }),
      sourceOf: () => 'consumer',
      rootAuthority: () => Promise.resolve(this.#server.ca),
      stopping: this.#stop.signal,
      waitingFor: () => undefined,
    });
    void service.run();
    const answer = getRequestListener((request, bindings) => service.app.fetch(request, { ...bindings }), {
      overrideGlobalObjects: false,
    });
    const { certificate: cert, privateKey: key } = certificate;
    const listener = createServer({ cert, key, minVersion: 'TLSv1.3' }, (incoming, outgoing) => {
      void answer(incoming, outgoing);
    });
    this.#listener = listener;
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(firstGatewayPort + this.#index, () => resolve());
    });
  }

  /**
   * Opens the device, with rules that route its answers through it: one namespace has many devices with the same remote ranges.
   */
  async #openDevice(): Promise<void> {
    this.#shell = new EngineShell(makeEngine, {
      tun: { name: this.#device, mtu: 1420 },
      port: firstTunnelPort + this.#index,
      maximumPeers: 16,
      relay: true,
      log: (level, message) => {
        if (level === 'error') console.error(JSON.stringify({ provider: this.clusterID, message }));
      },
    });
    const { cidr, node } = externalRange(this.#index);
    const table = firstTable + this.#index;
    const lines = [
      `link set ${this.#device} up`,
      ...[probeAddress(parseRange(cidr)).address, node].flatMap((address) => [
        `addr add ${address}/32 dev ${this.#device}`,
        `rule add from ${address}/32 lookup ${table}`,
      ]),
      `route add default dev ${this.#device} table ${table}`,
    ];
    for (const line of lines) await command('ip', line.split(' '));
  }

  /** Handles a remote's document like the controller and the node role: plan, declare, configure. */
  #follow(remote: RemoteCluster): void {
    const local = this.#local;
    const id = remote.spec.clusterID;
    if (local?.status === undefined) return;
    const { remote: document } = readDocuments(remote, this.clusterID);
    const previous = readStored(remote.status?.localDocument);
    const present = this.#tunnels.get(id);
    const decision =
      document &&
      planTunnel({
        local,
        remoteCluster: id,
        document,
        present,
        others: [],
        nodeAddresses: [this.#address],
        consumer: false,
        provider: true,
        remote: remote.spec,
        offloaded: [],
        remapsKnown: true,
        presharedKeyRevision: keyRevision({ clusterID: this.clusterID, key: this.#key }, remote),
      });
    const tunnel: Tunnel | undefined =
      decision?.spec === undefined
        ? present
        : { apiVersion, kind: 'Tunnel', metadata: { name: id }, spec: decision.spec };
    if (tunnel !== undefined) this.#tunnels.set(id, tunnel);
    const composed = composeDocument({
      local: local.status,
      publicKey: this.#key.publicKey,
      recipient: id,
      previous,
      remote: document,
      tunnel,
      offer: offerTo(id, this.#store.list(kind.incomingPeering), local, this.#server.ca),
      newSalt: () => randomBytes(32).toString('base64'),
      now: Date.now(),
    });
    if ('changed' in composed && composed.changed) {
      const localDocument = signNetworkDocument(composed.document, this.#key);
      // The store calls this function again, then with nothing left to declare.
      this.#store.put({ ...remote, status: { ...remote.status, localDocument } });
      return;
    }
    this.#configure(remote);
  }

  #configure(remote: RemoteCluster): void {
    const local = this.#local;
    if (local === undefined) return;
    const { cidr, node } = externalRange(this.#index);
    const keys = this.#keys.derive({ clusterID: this.clusterID, key: this.#key }, [remote]);
    const self: FabricNode = {
      apiVersion,
      kind: 'FabricNode',
      metadata: { name: nodeName },
      spec: { externalAddress: node, tunnelEndpoint },
    };
    const plan = planNode(
      readInput(
        {
          localCluster: local,
          fabricNodes: [self],
          tunnels: [...this.#tunnels.values()],
          pods: [],
          twinNamespaces: [],
          incomingPeerings: [],
          outgoingPeerings: [],
          addressMappings: [],
          node: undefined,
          tenantNamespaces: [],
          tenantPods: [],
          dnsPods: [],
        },
        {
          name: nodeName,
          address: this.#address,
          namespace: 'hawser-system',
          publicKey: this.#tunnelKey.publicKey,
          underlayMTU: 1500,
          tunnelEndpoint,
        },
        new Map([...keys].map(([id, text]) => [id, Buffer.from(text, 'base64')])),
        ({ addresses }) => addresses[0],
      ),
    );
    this.#shell?.configure({
      privateKey: this.#tunnelKey.privateKey,
      port: firstTunnelPort + this.#index,
      fwmark: 0,
      ...plan.device,
    });
    this.#prober.update({ ...plan.probes, answerAt: probeAddress(parseRange(cidr)).address });
  }

  /**
   * Creates the tenant as the tenant controller does; the namespace has the provider's name, since providers share a server.
   */
  async #makeTenant(peering: IncomingPeering): Promise<void> {
    const { uid = '', generation } = peering.metadata;
    if (this.#tenants.has(uid)) return;
    this.#tenants.add(uid);
    const namespace = `hawser-tenant-${this.clusterID}-${uid.slice(0, 8)}`;
    const placed = JSON.stringify([
      tenantNamespaceObject(peering),
      ...tenantObjects(peering, defaultNamespace, true, new Set()),
      identitySecretObject(peering),
    ]).replaceAll(JSON.stringify(tenantNamespaceObject(peering).metadata.name), JSON.stringify(namespace));
    const [first, ...others] = JSON.parse(placed) as Parameters<KubeClient['create']>[0][];
    const create = async (object: typeof first) => {
      try {
        if (object !== undefined) await this.#kube.create(object, this.#stop.signal);
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    };
    try {
      await create(first);
      await Promise.all(others.map(create));
    } catch (error) {
      console.error(JSON.stringify({ provider: this.clusterID, error: String(error) }));
      return;
    }
    const ready = {
      type: 'TenantReady',
      status: 'True' as const,
      reason: 'Ready',
      message: 'the tenant is ready',
      lastTransitionTime: new Date().toISOString(),
    };
    this.#store.put({
      ...peering,
      status: {
        observedGeneration: generation,
        tenantNamespace: namespace,
        identitySecretName: identitySecretObject(peering).metadata.name,
        conditions: [ready],
      },
    });
  }
}
