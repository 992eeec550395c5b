/** The node role's wiring: API server, tunnel device, kernel, probes. It makes no decisions. */
import { getServers } from 'node:dns/promises';
import { isIP } from 'node:net';
import { defaultNamespace, gatewayService } from '../../shared/names.ts';
import { ports, tunDevice } from '../../shared/ports.ts';
import { createFabricNode } from '../fabric/node/index.ts';
import {
  createCommandRunner,
  createHost,
  findForeignProblems,
  monitorHost,
  readParameter,
  underlayMTU,
} from '../host/index.ts';
import { createInBand } from '../inband/index.ts';
import { createLog, isForbidden, isUnauthorized, levelOf, type KubeClient, type Log } from '../kube/index.ts';
import { linked, systemClock } from '../../shared/time.ts';
import { createTunnelDevice } from '../wireguard/index.ts';
import { serveProbes } from './metrics.ts';
import { nodeMetricsText } from './node-metrics.ts';
import { apiServerOf, hostOf, resolveName } from './resolve.ts';
import { packageVersion } from './version.ts';
import { connectKube } from '../clients/kubernetes/index.ts';
import { defaultConnection } from '../clients/kubernetes/kubeconfig.ts';

export interface NodeRoleOptions {
  kube: KubeClient;
  log: Log;
  environment: Record<string, string | undefined>;
  /** 0 disables the probes. */
  probePort: number;
}

/** MTU of the device before the first plan. */
const firstMTU = 1420;
/** Nodes of a cluster (at most 5,000; Kubernetes, "Considerations for large clusters") plus the remotes' tunnel endpoints. */
const maximumPeers = 6144;

/** Runs the node role of this pod until the signal is aborted. */
export async function runNodeRole(signal: AbortSignal): Promise<void> {
  const environment = process.env;
  const log = createLog(levelOf(environment['LOG_LEVEL']), { fields: { role: 'node' } });
  const kube = connectKube(await defaultConnection(environment));
  await runNodeWith({ kube, log, environment, probePort: ports.nodeMetrics }, signal);
  kube.close();
}

/** Like `runNodeRole`, with all dependencies as parameters. */
export async function runNodeWith(options: NodeRoleOptions, signal: AbortSignal): Promise<void> {
  const { kube, log, environment } = options;
  const nodeName = required(environment, 'NODE_NAME');
  const nodeAddress = required(environment, 'POD_IP');
  if (isIP(nodeAddress) === 0) throw new Error(`POD_IP is "${nodeAddress}", not an address of this node`);
  const namespace = environment['HAWSER_NAMESPACE'] || defaultNamespace;
  const run = createCommandRunner();
  const inBand = createInBand({ kube, namespace, gatewayService, log: log.with({ feature: 'inband' }) });
  const role = createFabricNode({
    kube,
    namespace,
    nodeName,
    nodeAddress,
    version: packageVersion(),
    device: createTunnelDevice({
      name: tunDevice,
      mtu: firstMTU,
      port: ports.tunnel,
      maximumPeers,
      log: (level, message, facts) => log[level](message, facts),
    }),
    host: createHost(run),
    inBand,
    monitor: (onChange, until) => monitorHost({ onChange, device: tunDevice }, until),
    hostProblems: (tunnelled, until) => findForeignProblems(run, readParameter, tunnelled, until),
    underlayMTU: (until) => underlayMTU(run, nodeAddress, until),
    leavesForGood: (until) => daemonSetIsGone(kube, namespace, log, until),
    nameservers: nameservers(),
    apiServer: hostOf(apiServerOf(environment)),
    resolve: resolveName,
    clock: systemClock,
    log,
  });
  using ending = linked(signal);
  const until = ending.signal;
  const probes =
    options.probePort === 0
      ? Promise.resolve()
      : serveProbes(
          {
            port: options.probePort,
            host: nodeAddress,
            notReady: () => role.notReady(),
            metrics: () => nodeMetricsText({ role, inBand }),
          },
          until,
        );
  const running = role.run(until);
  try {
    // A failure of the probe server ends the process, after the node role has stopped.
    await Promise.race([running, probes.then(() => running)]);
  } finally {
    ending.abort(new Error('the node role stops'));
    await Promise.allSettled([running, probes]);
  }
}

/**
 * Whether this pod ends because Hawser is being uninstalled, not because it is replaced. If the API server forbids the
 * question, the RBAC role has already been uninstalled.
 */
async function daemonSetIsGone(
  kube: KubeClient,
  namespace: string,
  log: Log,
  signal: AbortSignal,
): Promise<boolean> {
  const daemonSets = { apiVersion: 'apps/v1', kind: 'DaemonSet', plural: 'daemonsets', namespaced: true };
  try {
    const found = await kube.get({ kind: daemonSets, namespace, name: 'hawser-node' }, signal);
    return found === undefined || found.metadata.deletionTimestamp !== undefined;
  } catch (error) {
    if (isForbidden(error) || isUnauthorized(error)) return true;
    log.warn('could not determine whether Hawser is being uninstalled; leaving the kernel’s rules in place', {
      error,
    });
    return false;
  }
}

/** DNS servers of this pod: with ClusterFirstWithHostNet the same as of the cluster's other pods (kubelet, `clusterDNS`). */
const nameservers = (): string[] => getServers().filter((address) => isIP(address) !== 0);

function required(environment: Record<string, string | undefined>, name: string): string {
  const value = environment[name];
  if (!value) throw new Error(`${name} is not set; the chart sets it from the downward API`);
  return value;
}
