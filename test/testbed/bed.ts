/** Creates, attaches to and deletes testbeds, and the operations on a running one. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ensureNeeds } from '../../deploy/needs/ensure.ts';
import { addonObjects, collectionOf } from './addons.ts';
import { bootstrapObjects, renewServerCertificate, writeControlPlaneFiles } from './control-plane.ts';
import { faultsOf } from './faults.ts';
import type { Faults } from './faults.ts';
import { agentFor, askApi, createIfMissing } from './https.ts';
import type { ApiAccess } from './https.ts';
import { ensureImages } from './image.ts';
import { kubeconfig } from './kubeconfig.ts';
import { networkScript } from './network.ts';
import { nodeObject, writeNodeFiles } from './node.ts';
import { onNode, placesScript } from './places.ts';
import { apiServerPort, differenceOf, planBed } from './plan.ts';
import type { BedPlan, BedRequest, ClusterPlan, NodePlan } from './plan.ts';
import { bootId, isAlive } from './processes.ts';
import { ensurePrograms, programNames } from './programs.ts';
import type { Log, ProgramName } from './programs.ts';
import { run, waitFor } from './run.ts';
import type { RunOptions } from './run.ts';
import {
  allServices,
  clusterServices,
  controlPlanePlan,
  ensureService,
  loadBalancerService,
} from './services.ts';
import type { BedService } from './services.ts';
import { baseDirectory, readRecord, readState, reserve, withBed, writeState } from './state.ts';
import { tearDown } from './teardown.ts';

export interface UpOptions extends BedRequest {
  /** First deletes a testbed of this name, since leftovers of an interrupted run would affect this one's results. */
  fresh?: boolean;
  signal?: AbortSignal;
  log?: Log;
  /** Like `log`, for lines each of which replaces the one before it. */
  progress?: Log | undefined;
}

export interface BedNode {
  name: string;
  netns: string;
  /** On the cluster's LAN; the same in other clusters. */
  address: string;
  podCIDR: string;
  /** Runs a command on the node, with its network, its host name, and its own /run and /var/log. */
  exec(command: readonly string[], options?: RunOptions): Promise<string>;
}

export interface BedCluster {
  name: string;
  /** Path of an administrator's kubeconfig that works on this machine. */
  kubeconfig: string;
  /** On the wide area; the certificate is valid for it. */
  apiServerUrl: string;
  wideAreaAddress: string;
  podCIDR: string;
  serviceCIDR: string;
  nodeCIDR: string;
  nodes: BedNode[];
  plan: ClusterPlan;
  /** Runs kubectl as administrator and returns its standard output, or throws with its error output. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  /** The administrator's credentials, for other clients. */
  access(): Promise<ApiAccess>;
  /** Imports an image archive into every node of this cluster. */
  loadImage(path: string): Promise<void>;
  /** Issues another certificate and key for the API server, which uses them from its next start on. */
  renewServerCertificate(): Promise<void>;
}

export interface Bed {
  name: string;
  plan: BedPlan;
  programs: Record<ProgramName, string>;
  clusters: BedCluster[];
  /** The cluster of that name; throws if there is none. */
  cluster(name: string): BedCluster;
  /** Imports an image archive (see `deploy/image/oci.ts`) into every node of every cluster. */
  loadImage(path: string): Promise<void>;
  faults: Faults;
  /** Names of all programs of the bed: `c1.kube-apiserver`, `c1.c1-n1.kubelet`, `load-balancer`, … */
  services(): string[];
  /** Ends a program with the signal, SIGKILL by default. It is not started again until `start` or `up`. */
  kill(service: string, signal?: NodeJS.Signals): Promise<void>;
  /** Starts a program that has ended. */
  start(service: string): Promise<void>;
  /** Names of programs of the testbed that have ended unexpectedly. */
  diedServices(): Promise<string[]>;
  down(): Promise<void>;
}

/**
 * Brings a testbed up and waits until all nodes are Ready and names resolve. If it is up already, only programs that have died
 * are started again. A testbed of the same name but another shape is an error.
 */
export async function up(options: UpOptions): Promise<Bed> {
  const { signal, log } = options;
  // Refuse an impossible request before any slow step.
  const wanted = planBed(options, 0, baseDirectory());
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new Error(
      'whole clusters need Linux and root: they make network namespaces, and containers in them',
    );
  }
  await ensureNeeds(['clusters'], { signal, log });
  const programs = await ensurePrograms({
    only: programsOf(wanted),
    signal,
    log,
    progress: options.progress,
  });
  const images = await ensureImages(programs, { signal, log });
  return await withBed(options.name, { signal, log }, async () => {
    const existing = await readState(options.name);
    if (existing?.phase === 'ready' && existing.boot === bootId && options.fresh !== true) {
      const difference = differenceOf(existing.plan, wanted);
      if (difference !== undefined) {
        throw new Error(
          `bed ${options.name} is up, but ${difference}. Take it down first: npm run testbed -- down --name ${options.name}`,
        );
      }
      await heal(existing.plan, programs, signal, log);
      return bedOf(existing.plan, programs);
    }
    if (existing !== undefined) {
      log?.(`Bed ${options.name} is there since ${existing.created}; taking it down, to begin anew`);
    }
    await tearDown(options.name);
    const state = await reserve(options, signal);
    try {
      await make(state.plan, programs, images, signal, log);
    } catch (error) {
      if (signal?.aborted) await tearDown(options.name);
      throw error;
    }
    await writeState({ ...state, phase: 'ready' });
    return bedOf(state.plan, programs);
  });
}

/** A running testbed. Throws if there is none of that name. */
export async function attach(name: string): Promise<Bed> {
  const state = await readState(name);
  if (state?.phase !== 'ready' || state.boot !== bootId) {
    throw new Error(`bed ${name} is not up. Bring it up: npm run testbed -- up --name ${name}`);
  }
  return bedOf(state.plan, await ensurePrograms({ only: programsOf(state.plan) }));
}

/** Deletes a testbed. It is no error if there is none, or only a part of one. */
export async function down(name: string, options: { signal?: AbortSignal; log?: Log } = {}): Promise<void> {
  await withBed(name, options, () => tearDown(name));
}

/**
 * The programs of a testbed. kube-router takes long to build and is only for testbeds with policies; other tests start
 * wireguard-go.
 */
function programsOf(plan: BedPlan): ProgramName[] {
  const policies = plan.clusters.some((cluster) => cluster.policies);
  return programNames.filter((name) => name !== 'wireguard-go' && (name !== 'kube-router' || policies));
}

async function make(
  plan: BedPlan,
  programs: Record<ProgramName, string>,
  images: readonly string[],
  signal: AbortSignal | undefined,
  log: Log | undefined,
): Promise<void> {
  await raiseInotifyLimit(log);
  log?.(`Network: ${plan.clusters.length} clusters on ${plan.wideAreaCIDR}`);
  for (const script of [networkScript(plan), placesScript(plan)]) {
    await run(['bash'], { input: script, timeoutMilliseconds: 60_000, ...(signal && { signal }) });
  }
  await Promise.all(
    plan.clusters.map((cluster) => makeCluster(plan, cluster, programs, images, signal, log)),
  );
  await ensureService(plan, loadBalancerService(plan));
}

/** Each kubelet, containerd and container watches files; the usual limit of 128 is soon reached. */
async function raiseInotifyLimit(log: Log | undefined): Promise<void> {
  const path = '/proc/sys/fs/inotify/max_user_instances';
  const wanted = 1024;
  const now = Number(await readFile(path, 'utf8'));
  if (now >= wanted) return;
  log?.(`Raising the machine's limit fs.inotify.max_user_instances from ${now} to ${wanted}`);
  await writeFile(path, `${wanted}\n`).catch(() => undefined);
}

async function makeCluster(
  bed: BedPlan,
  cluster: ClusterPlan,
  programs: Record<ProgramName, string>,
  images: readonly string[],
  signal: AbortSignal | undefined,
  log: Log | undefined,
): Promise<void> {
  const now = Date.now();
  const services = clusterServices(cluster, programs);
  await mkdir(cluster.directory, { recursive: true, mode: 0o755 });
  const files = await writeControlPlaneFiles(controlPlanePlan(cluster, programs), now);
  const access: ApiAccess = {
    url: `https://${cluster.wideAreaAddress}:${apiServerPort}`,
    authority: files.authority.certificate,
    certificate: files.admin.certificate,
    key: files.admin.key,
  };
  await writeFile(join(cluster.directory, 'access.json'), JSON.stringify(access), { mode: 0o600 });
  await writeFile(
    join(cluster.directory, 'admin.kubeconfig'),
    kubeconfig({
      clusterName: cluster.name,
      url: access.url,
      authority: access.authority,
      user: { name: 'admin', certificate: files.admin },
    }),
    { mode: 0o600 },
  );
  await ensureService(bed, services.etcd);
  await ensureService(bed, services.apiServer);
  const nodesPrepared = Promise.all(
    cluster.nodes.map(async (node, index) => {
      await writeNodeFiles(bed, cluster, node, files, now);
      const ofNode = services.nodes[index];
      if (ofNode === undefined) throw new Error(`node ${node.name} has no services`);
      await ensureService(bed, ofNode.containerd);
      for (const image of images) await importImage(node, image, signal);
      return ofNode;
    }),
  );
  // Awaited below; a failure before that must not count as unhandled.
  nodesPrepared.catch(() => undefined);
  await waitForApi(cluster, access, signal);
  log?.(`${cluster.name}: API server is ready`);
  const agent = agentFor(access);
  const more = signal === undefined ? { agent } : { agent, signal };
  try {
    for (const object of [...bootstrapObjects, ...cluster.nodes.map(nodeObject)]) {
      await createIfMissing(access, collectionOf(object), object, more);
    }
    await ensureService(bed, services.controllerManager);
    await ensureService(bed, services.scheduler);
    for (const object of addonObjects(cluster))
      await createIfMissing(access, collectionOf(object), object, more);
    for (const node of await nodesPrepared) {
      await ensureService(bed, node.kubelet);
      await ensureService(bed, node.kubeProxy);
    }
  } finally {
    agent.destroy();
  }
  await waitUntilReady(cluster, access, signal, log);
  // kube-router exits while its node has no address, which the kubelet sets.
  for (const { kubeRouter } of services.nodes) {
    if (kubeRouter !== undefined) await ensureService(bed, kubeRouter);
  }
}

async function importImage(node: NodePlan, path: string, signal: AbortSignal | undefined): Promise<void> {
  const ctr = onNode(node, ['ctr', '--namespace', 'k8s.io']);
  const more = signal === undefined ? {} : { signal };
  await waitFor(
    `containerd of ${node.name}`,
    async () => (await run([...ctr, 'version'], { ...more, timeoutMilliseconds: 5000 })) !== '',
    { timeoutMilliseconds: 30_000, intervalMilliseconds: 100, signal },
  );
  await run([...ctr, 'images', 'import', resolve(path)], { ...more, timeoutMilliseconds: 120_000 });
}

async function waitForApi(
  cluster: ClusterPlan,
  access: ApiAccess,
  signal: AbortSignal | undefined,
): Promise<void> {
  const agent = agentFor(access);
  const more = signal === undefined ? { agent } : { agent, signal };
  try {
    await waitFor(
      `the API server of ${cluster.name} (log: ${join(cluster.directory, 'control-plane/kube-apiserver.log')})`,
      async () =>
        (await askApi(access, 'GET', '/readyz', { ...more, timeoutMilliseconds: 2000 })).status === 200,
      { timeoutMilliseconds: 120_000, intervalMilliseconds: 100, signal },
    );
  } finally {
    agent.destroy();
  }
}

interface Listed {
  items: {
    metadata: { name: string };
    status?: { conditions?: { type: string; status: string; message?: string }[]; readyReplicas?: number };
  }[];
}

/** Waits for Ready nodes, a ready CoreDNS, and the service account that pods of `default` need. */
async function waitUntilReady(
  cluster: ClusterPlan,
  access: ApiAccess,
  signal: AbortSignal | undefined,
  log: Log | undefined,
): Promise<void> {
  const agent = agentFor(access);
  const more = signal === undefined ? { agent } : { agent, signal };
  const get = async (path: string) => JSON.parse((await askApi(access, 'GET', path, more)).body) as unknown;
  let nodesTold = false;
  try {
    await waitFor(
      `cluster ${cluster.name} to be ready (logs: ${cluster.directory})`,
      async () => {
        const { items } = (await get('/api/v1/nodes')) as Listed;
        const ready = new Map(
          items.map((node) => [
            node.metadata.name,
            node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ??
              false,
          ]),
        );
        const unready = cluster.nodes.filter((node) => ready.get(node.name) !== true);
        if (unready.length > 0)
          throw new Error(`nodes not Ready: ${unready.map(({ name }) => name).join(', ')}`);
        if (!nodesTold) {
          nodesTold = true;
          log?.(`${cluster.name}: ${cluster.nodes.length} nodes are Ready`);
        }
        const dns = (await get(
          '/apis/apps/v1/namespaces/kube-system/deployments/coredns',
        )) as Listed['items'][0];
        if ((dns.status?.readyReplicas ?? 0) < 1) throw new Error('CoreDNS is not ready');
        const account = await askApi(
          access,
          'GET',
          '/api/v1/namespaces/default/serviceaccounts/default',
          more,
        );
        if (account.status !== 200) throw new Error('namespace default has no service account yet');
        return true;
      },
      { timeoutMilliseconds: 180_000, intervalMilliseconds: 200, signal },
    );
  } finally {
    agent.destroy();
  }
  log?.(`${cluster.name}: ready`);
}

async function heal(
  plan: BedPlan,
  programs: Record<ProgramName, string>,
  signal: AbortSignal | undefined,
  log: Log | undefined,
): Promise<void> {
  for (const service of allServices(plan, programs)) {
    if (await ensureService(plan, service)) log?.(`${service.name} had ended; started again`);
  }
  await Promise.all(
    plan.clusters.map(async (cluster) => {
      const access = await readAccess(cluster);
      await waitForApi(cluster, access, signal);
      await waitUntilReady(cluster, access, signal, undefined);
    }),
  );
}

async function readAccess(cluster: ClusterPlan): Promise<ApiAccess> {
  return JSON.parse(await readFile(join(cluster.directory, 'access.json'), 'utf8')) as ApiAccess;
}

function bedOf(plan: BedPlan, programs: Record<ProgramName, string>): Bed {
  const clusters = plan.clusters.map((cluster) => clusterOf(cluster, programs));
  const find = (service: string): BedService => {
    const found = allServices(plan, programs).find((each) => each.name === service);
    if (found === undefined) throw new Error(`bed ${plan.name} has no program ${service}`);
    return found;
  };
  return {
    name: plan.name,
    plan,
    programs,
    clusters,
    cluster: (name) => {
      const found = clusters.find((each) => each.name === name);
      if (found !== undefined) return found;
      throw new Error(
        `bed ${plan.name} has no cluster ${name}; it has ${clusters.map((each) => each.name).join(', ')}`,
      );
    },
    loadImage: async (path) => {
      await Promise.all(clusters.map((cluster) => cluster.loadImage(path)));
    },
    faults: faultsOf(plan),
    services: () => allServices(plan, programs).map((service) => service.name),
    kill: async (service, signal = 'SIGKILL') => {
      const { process: victim } = (await readRecord(plan, find(service).name)) ?? {};
      if (victim === undefined || !isAlive(victim)) throw new Error(`${service} does not run`);
      process.kill(victim.pid, signal);
      if (signal === 'SIGSTOP' || signal === 'SIGCONT') return;
      const gone = () => Promise.resolve(!isAlive(victim));
      await waitFor(`the end of ${service}`, gone, { timeoutMilliseconds: 30_000, intervalMilliseconds: 20 });
    },
    start: async (service) => {
      await ensureService(plan, find(service));
    },
    diedServices: async () => {
      const died: string[] = [];
      for (const { name } of allServices(plan, programs)) {
        const record = await readRecord(plan, name);
        if (record === undefined || !isAlive(record.process)) died.push(name);
      }
      return died;
    },
    down: () => down(plan.name),
  };
}

function clusterOf(cluster: ClusterPlan, programs: Record<ProgramName, string>): BedCluster {
  const path = join(cluster.directory, 'admin.kubeconfig');
  return {
    name: cluster.name,
    kubeconfig: path,
    apiServerUrl: `https://${cluster.wideAreaAddress}:${apiServerPort}`,
    wideAreaAddress: cluster.wideAreaAddress,
    podCIDR: cluster.podCIDR,
    serviceCIDR: cluster.serviceCIDR,
    nodeCIDR: cluster.nodeCIDR,
    plan: cluster,
    nodes: cluster.nodes.map((node) => ({
      name: node.name,
      netns: node.netns,
      address: node.address,
      podCIDR: node.podCIDR,
      exec: (command, options) => run(onNode(node, command), options),
    })),
    kubectl: (args, options) =>
      run([programs.kubectl, ...args], {
        ...options,
        env: { ...options?.env, KUBECONFIG: path, KUBECACHEDIR: join(cluster.directory, 'kubectl-cache') },
      }),
    access: () => readAccess(cluster),
    loadImage: async (archive) => {
      await Promise.all(cluster.nodes.map((node) => importImage(node, archive, undefined)));
    },
    renewServerCertificate: () => renewServerCertificate(controlPlanePlan(cluster, programs), Date.now()),
  };
}
