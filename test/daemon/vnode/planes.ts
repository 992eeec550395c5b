/**
 * A consumer and a provider: two real control planes, the consumer's with a scheduler, and Hawser's tenant feature at the
 * provider. There are no kubelets: the test writes the status of the provider's containers like a kubelet.
 */
import { crdManifests } from '../../../deploy/crds.ts';
import type { IncomingPeering, OutgoingPeering } from '../../../shared/api/peerings.ts';
import type { Tunnel } from '../../../shared/api/network.ts';
import { nodeName, secrets, tenantNamespace } from '../../../shared/names.ts';
import {
  createEvents,
  createInformers,
  createLog,
  kind,
  silentLog,
  type ControllerContext,
  type KubeClient,
  type Pod,
} from '../../../daemon/kube/index.ts';
import { systemClock } from '../../../shared/time.ts';
import { createMetrics, type Metrics } from '../../../daemon/roles/metrics.ts';
import { runTenant } from '../../../daemon/tenant/index.ts';
import type * as testbedModule from '../../testbed/index.ts';
import type { RunOptions } from '../../testbed/run.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';
import { eventually } from '../../support/eventually.ts';

export const consumerID = 'home';
export const providerID = 'farm';
export const virtualNode = nodeName(providerID, 'default');
export const hawserNamespace = 'hawser-system';
/** The provider's pods have 10.244.0.0/16 there, and this range here. */
export const mappedRange = '10.128.0.0/16';

export interface Side {
  url: string;
  /** PEM. */
  ca: string;
  kube: KubeClient;
  context: CountedContext;
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Path. */
  kubeconfig: string;
  stop(): Promise<void>;
}

export interface Planes {
  consumer: Side;
  provider: Side;
  signal: AbortSignal;
  /** Path of the program. */
  kubectl: string;
  /** Tasks to await after `stop`. */
  started: Promise<void>[];
  stop(): Promise<void>;
}

/** Functions of the testbed, passed in by the test, whose import of the testbed marks it as needing one. */
export type Testbed = Pick<typeof testbedModule, 'ensurePrograms' | 'up' | 'upControlPlane'>;

const log = process.env['TEST_LOG'] === undefined ? silentLog : createLog('debug');

/** A process's context with its metrics. */
export type CountedContext = ControllerContext & { metrics: Metrics };

export function contextOf(kube: KubeClient, signal: AbortSignal): CountedContext {
  const informers = createInformers(kube, { log, clock: systemClock }, signal);
  return {
    kube,
    namespace: hawserNamespace,
    podIP: '127.0.0.1',
    podName: 'hawser-controller-0',
    nodeName: 'machine',
    resolve: async () => [],
    version: '0.1.0',
    clock: systemClock,
    log,
    metrics: createMetrics(),
    informer: (each, options) => informers.informer(each, options),
    events: createEvents({ kube, component: 'hawser-controller', instance: 'test', log }),
  };
}

async function upSide(
  testbed: Testbed,
  name: string,
  scheduler: boolean,
  signal: AbortSignal,
): Promise<Side> {
  const plane = await testbed.upControlPlane({ name, controllerManager: true, scheduler });
  const { url, ca, adminToken } = plane;
  const how = {
    url,
    ca,
    kubeconfig: plane.kubeconfig,
    kubectl: (args: readonly string[], options?: RunOptions) => plane.kubectl(args, options),
    stop: () => plane.stop(),
  };
  return equip(connectKube({ url, ca, token: () => adminToken }), how, signal);
}

/** A cluster of the testbed: real kubelets, real containers. */
async function upBedSide(testbed: Testbed, name: string, signal: AbortSignal): Promise<Side> {
  const bed = await testbed.up({ name, clusters: [providerID], nodes: 1, fresh: true });
  const cluster = bed.cluster(providerID);
  const { authority, certificate = '', key = '' } = await cluster.access();
  const kube = connectKube({
    url: cluster.apiServerUrl,
    ca: authority,
    clientCertificate: () => ({ certificate, key }),
  });
  const how = {
    url: cluster.apiServerUrl,
    ca: authority,
    kubectl: (args: readonly string[], options?: RunOptions) => cluster.kubectl(args, options),
    kubeconfig: cluster.kubeconfig,
    stop: () => bed.down(),
  };
  return equip(kube, how, signal);
}

/** Installs the kinds and Hawser's namespace. */
async function equip(
  kube: KubeClient,
  how: Omit<Side, 'kube' | 'context'>,
  signal: AbortSignal,
): Promise<Side> {
  await how.kubectl(['apply', '--server-side', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: crdManifests() }),
  });
  await how.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=20s']);
  await kube.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: hawserNamespace } }, signal);
  return { ...how, kube, context: contextOf(kube, signal) };
}

/**
 * A consumer and a provider, with the tenant feature running at the provider.
 *
 * @param bedName if absent, the provider is also a control plane without nodes; otherwise a testbed of that name
 */
export async function upPlanes(testbed: Testbed, bedName?: string): Promise<Planes> {
  const stopped = new AbortController();
  const { signal } = stopped;
  const [consumer, provider] = await Promise.all([
    upSide(testbed, 'consumer', true, signal),
    bedName === undefined ? upSide(testbed, 'provider', false, signal) : upBedSide(testbed, bedName, signal),
  ]);
  const started = [runTenant(provider.context, signal)];
  const { kubectl } = await testbed.ensurePrograms({ only: ['kubectl'] });
  return {
    consumer,
    provider,
    signal,
    kubectl,
    started,
    async stop() {
      stopped.abort(new Error('the test has ended'));
      await Promise.allSettled(started);
      consumer.kube.close();
      provider.kube.close();
      await Promise.all([consumer.stop(), provider.stop()]);
    },
  };
}

const grant = { cpu: '4', memory: '8Gi', pods: 20, podSecurity: 'baseline' as const };
const apiVersion = 'hawser.dev/v1alpha1';
const now = () => `${new Date().toISOString().slice(0, 19)}Z`;

/** Writes what peering/ and fabric/ write when two clusters meet. */
export async function meet(planes: Planes): Promise<void> {
  const { consumer, provider, signal } = planes;
  const incoming: IncomingPeering = {
    apiVersion,
    kind: 'IncomingPeering',
    metadata: { name: consumerID },
    spec: { remoteCluster: consumerID, peering: 'default', grant, desired: 'Active' },
  };
  await provider.kube.create(incoming, signal);
  const tenant = tenantNamespace(consumerID, 'default');
  const token = await eventually('an identity', async () => {
    const answer = await provider.kube.createSubresource<{ status: { token: string } }>(
      { kind: kind.serviceAccount, namespace: tenant, name: 'consumer' },
      'token',
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
      signal,
    );
    return answer.status.token;
  });
  const self = { apiVersion, kind: 'LocalCluster', metadata: { name: 'self' }, spec: {} };
  await consumer.kube.create(self, signal);
  await status(consumer, { ...self, status: { clusterID: consumerID } }, signal);
  const identity = {
    apiServerURL: provider.url,
    caBundle: provider.ca,
    token,
    expiresAt: new Date(Date.now() + 3600_000).toISOString(),
    renewAfter: new Date(Date.now() + 1800_000).toISOString(),
    tenantNamespace: tenant,
  };
  await consumer.kube.create(
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: secrets.identity(providerID), namespace: hawserNamespace },
      stringData: { 'identity.json': JSON.stringify(identity) },
    } as never,
    signal,
  );
  const tunnel: Tunnel = {
    apiVersion,
    kind: 'Tunnel',
    metadata: { name: providerID },
    spec: {
      remoteCluster: providerID,
      consumer: true,
      provider: false,
      remotePodCIDRs: ['10.244.0.0/16'],
      remoteExternalCIDR: '100.65.0.0/20',
      remoteTunnelEndpoints: [],
      remaps: [{ real: '10.244.0.0/16', mapped: mappedRange, state: 'InUse' }],
      remoteRemaps: [{ real: '10.244.0.0/16', mapped: '10.200.0.0/16' }],
      mtu: 1380,
      presharedKeyRevision: '1',
    },
  };
  await consumer.kube.create(tunnel, signal);
  await setPath(planes, true);
  const outgoing: OutgoingPeering = {
    apiVersion,
    kind: 'OutgoingPeering',
    metadata: { name: providerID },
    spec: { remoteCluster: providerID, peering: 'default', nodeName: virtualNode, desired: 'Active' },
  };
  await consumer.kube.create(outgoing, signal);
  await status(
    consumer,
    { ...outgoing, status: { grant, conditions: [condition('IdentityValid', true)] } },
    signal,
  );
}

/** How many such refusals the side's `/metrics` reports for the remote cluster. */
export function refusalsCounted(side: Side, remoteCluster: string, what: string): number {
  const line = `hawser_refusals_total{remote_cluster="${remoteCluster}",reason="${what}"} `;
  const found = side.context.metrics
    .text([], true)
    .split('\n')
    .find((each) => each.startsWith(line));
  return Number(found?.slice(line.length) ?? 0);
}

/** Writes whether probes pass. */
export async function setPath({ consumer, signal }: Planes, verified: boolean): Promise<void> {
  await status(
    consumer,
    {
      apiVersion,
      kind: 'Tunnel',
      metadata: { name: providerID },
      status: { conditions: [condition('PathVerified', verified)] },
    },
    signal,
  );
}

const condition = (type: string, good: boolean) => ({
  type,
  status: good ? 'True' : 'False',
  lastTransitionTime: now(),
  reason: good ? 'Fine' : 'Broken',
  message: good ? 'it works' : 'it does not work',
});

async function status(side: Side, object: object, signal: AbortSignal): Promise<void> {
  await side.kube.apply(object as never, { fieldManager: 'hawser-test', subresource: 'status' }, signal);
}

/** Writes a pod's status like a kubelet of the provider. */
export async function playKubelet(
  { provider, signal }: Planes,
  namespace: string,
  name: string,
  podIP: string,
  more: object = {},
): Promise<Pod> {
  return provider.kube.patch<Pod>(
    { kind: kind.pod, namespace, name },
    {
      status: {
        phase: 'Running',
        podIP,
        podIPs: [{ ip: podIP }],
        hostIP: '192.0.2.7',
        startTime: now(),
        conditions: ['Initialized', 'ContainersReady', 'Ready'].map((type) => ({
          type,
          status: 'True',
          lastTransitionTime: now(),
        })),
        containerStatuses: [
          {
            name: 'main',
            ready: true,
            started: true,
            restartCount: 0,
            image: 'pause',
            imageID: 'pause@sha256:0',
            containerID: 'containerd://0123',
            state: { running: { startedAt: now() } },
          },
        ],
        ...more,
      },
    },
    { type: 'strategic', subresource: 'status' },
    signal,
  );
}
