/**
 * An API server on this machine's loopback, for tests that need Kubernetes but no nodes. It needs no privileges, and its
 * processes end with the process that started it, for any reason.
 */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  apiServerCommand,
  bootstrapObjects,
  controllerManagerCommand,
  etcdCommand,
  schedulerCommand,
  writeControlPlaneFiles,
} from './control-plane.ts';
import type { ControlPlanePlan } from './control-plane.ts';
import { agentFor, askApi, createIfMissing } from './https.ts';
import type { ApiAccess } from './https.ts';
import { kubeconfig } from './kubeconfig.ts';
import { identify, isAlive, startService, stopProcesses } from './processes.ts';
import type { ProcessId } from './processes.ts';
import { ensurePrograms } from './programs.ts';
import type { Log, ProgramName } from './programs.ts';
import { run, waitFor } from './run.ts';
import type { RunOptions } from './run.ts';

export interface ControlPlaneOptions {
  /** Shown in logs and in the kubeconfig. Default: `test`. */
  name?: string;
  /** Also runs kube-controller-manager: service accounts, deletion of namespaces, signing of certificates. */
  controllerManager?: boolean;
  scheduler?: boolean;
  podCIDR?: string;
  serviceCIDR?: string;
  signal?: AbortSignal;
  log?: Log;
}

export interface ControlPlane extends AsyncDisposable {
  name: string;
  /** `https://127.0.0.1:PORT` */
  url: string;
  /** PEM. */
  ca: string;
  /** Token of a user in `system:masters`. */
  adminToken: string;
  /** A client certificate of the same rights. */
  adminCertificate: { certificate: string; key: string };
  /** Path of a kubeconfig with these rights. */
  kubeconfig: string;
  directory: string;
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  stop(): Promise<void>;
}

const directoryPrefix = 'hawser-control-plane-';
const ownerFile = 'owner.json';

/** Starts a control plane on loopback and waits until it answers. Takes about five seconds. */
export async function upControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const name = options.name ?? 'test';
  const signal = options.signal;
  const needed: ProgramName[] = ['etcd', 'kube-apiserver', 'kubectl'];
  if (options.controllerManager) needed.push('kube-controller-manager');
  if (options.scheduler) needed.push('kube-scheduler');
  const programs = await ensurePrograms({ only: needed, signal, log: options.log });
  await removeAbandoned();
  const directory = await mkdtemp(join(tmpdir(), `${directoryPrefix}${name}-`));
  await writeFile(join(directory, ownerFile), JSON.stringify(identify(process.pid)));
  const processes: ProcessId[] = [];
  const stop = async () => {
    await stopProcesses(processes.toReversed(), 0);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const [port, etcdPort, etcdPeerPort, controllerManagerPort, schedulerPort] = await freePorts(5);
    const plan: ControlPlanePlan = {
      clusterName: name,
      directory,
      address: '127.0.0.1',
      port: port ?? 0,
      etcdPort: etcdPort ?? 0,
      etcdPeerPort: etcdPeerPort ?? 0,
      controllerManagerPort: controllerManagerPort ?? 0,
      schedulerPort: schedulerPort ?? 0,
      moreAddresses: [],
      podCIDR: options.podCIDR ?? '10.244.0.0/16',
      serviceCIDR: options.serviceCIDR ?? '10.96.0.0/16',
      kubernetesServiceAddress: firstAddress(options.serviceCIDR ?? '10.96.0.0/16'),
      programs,
      routeToEndpoints: false,
    };
    const files = await writeControlPlaneFiles(plan, Date.now());
    const start = async (program: string, command: string[]) => {
      const logFile = join(directory, `${program}.log`);
      processes.push(await startService({ command, logFile, dieWithParent: true }));
    };
    await start('etcd', etcdCommand(plan));
    await start('kube-apiserver', apiServerCommand(plan));
    if (options.controllerManager) await start('kube-controller-manager', controllerManagerCommand(plan));
    if (options.scheduler) await start('kube-scheduler', schedulerCommand(plan));
    const url = `https://127.0.0.1:${plan.port}`;
    const access: ApiAccess = { url, authority: files.authority.certificate, token: files.adminToken };
    await waitUntilServing(access, processes, directory, options.controllerManager ?? false, signal);
    const path = join(directory, 'admin.kubeconfig');
    const user = { name: 'admin', certificate: files.admin };
    await writeFile(
      path,
      kubeconfig({ clusterName: name, url, authority: files.authority.certificate, user }),
      {
        mode: 0o600,
      },
    );
    return {
      name,
      url,
      ca: files.authority.certificate,
      adminToken: files.adminToken,
      adminCertificate: files.admin,
      kubeconfig: path,
      directory,
      kubectl: (args, more) =>
        run([programs.kubectl, ...args], { ...more, env: { KUBECONFIG: path, ...more?.env } }),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function waitUntilServing(
  access: ApiAccess,
  processes: readonly ProcessId[],
  directory: string,
  controllerManager: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const agent = agentFor(access);
  const more = signal === undefined ? { agent } : { agent, signal };
  let died: string | undefined;
  try {
    await waitFor(
      'kube-apiserver to be ready',
      async () => {
        const dead = processes.find((each) => !isAlive(each));
        if (dead !== undefined) {
          died = await logTails(directory);
          return true;
        }
        const answer = await askApi(access, 'GET', '/readyz', { ...more, timeoutMilliseconds: 2000 });
        return answer.status === 200;
      },
      { timeoutMilliseconds: 60_000, intervalMilliseconds: 100, signal },
    );
    if (died !== undefined) throw new Error(`a program of the control plane ended:\n${died}`);
    for (const object of bootstrapObjects) {
      await createIfMissing(access, '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', object, more);
    }
    // Tests use this at once: with a controller manager, also wait for its first objects in the namespace.
    const namespace = '/api/v1/namespaces/default';
    const awaited = controllerManager
      ? [`${namespace}/serviceaccounts/default`, `${namespace}/configmaps/kube-root-ca.crt`]
      : [namespace];
    for (const path of awaited) {
      await waitFor(path, async () => (await askApi(access, 'GET', path, more)).status === 200, {
        timeoutMilliseconds: 30_000,
        intervalMilliseconds: 50,
        signal,
      });
    }
  } finally {
    agent.destroy();
  }
}

async function logTails(directory: string): Promise<string> {
  const logs = (await readdir(directory)).filter((file) => file.endsWith('.log'));
  const tails = await Promise.all(
    logs.map(async (file) => `${file}: …${(await readFile(join(directory, file), 'utf8')).slice(-1500)}`),
  );
  return tails.join('\n');
}

/** Removes directories whose owner was killed before it could. */
async function removeAbandoned(): Promise<void> {
  for (const entry of await readdir(tmpdir())) {
    if (!entry.startsWith(directoryPrefix)) continue;
    const directory = join(tmpdir(), entry);
    try {
      const owner = JSON.parse(await readFile(join(directory, ownerFile), 'utf8')) as ProcessId;
      if (!isAlive(owner)) await rm(directory, { recursive: true, force: true });
    } catch {
      // Another process is creating it at present, or we may not read it.
    }
  }
}

/** Free ports at this moment, all held open at once so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', () => resolve(server));
      });
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a loopback port has no number');
    return address.port;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function firstAddress(cidr: string): string {
  const [network = ''] = cidr.split('/');
  const bytes = network.split('.').map(Number);
  return [...bytes.slice(0, 3), (bytes[3] ?? 0) + 1].join('.');
}
