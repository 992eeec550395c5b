/** The node role's wiring: API server, tunnel device, kernel, probes. Nothing is decided here. */
import { getServers, lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { defaultNamespace, gatewayService, ports, tunDevice } from '../../shared/names.ts';
import { createFabricNode, type FabricNodeRole } from '../fabric/node/index.ts';
import {
  createCommandRunner,
  createHost,
  findForeignProblems,
  monitorHost,
  readParameter,
  underlayMTU,
} from '../host/index.ts';
import { createInBand, type InBand } from '../inband/index.ts';
import {
  createKubeClient,
  createLog,
  defaultConnection,
  isForbidden,
  isUnauthorized,
  levelOf,
  type KubeClient,
  type Log,
} from '../kube/index.ts';
import { systemClock } from '../../shared/time.ts';
import { createTunnelDevice } from '../wireguard/index.ts';
import { serveProbes } from './metrics.ts';
import { packageVersion } from './version.ts';

export interface NodeRoleOptions {
  kube: KubeClient;
  log: Log;
  environment: Record<string, string | undefined>;
  /** 0: no probes. */
  probePort: number;
}

/** MTU of the device until a plan says another. */
const firstMTU = 1420;
/** Nodes of a cluster at most (5,000, says Kubernetes; "Considerations for large clusters"), and remotes' tunnel endpoints. */
const maximumPeers = 6144;

/** Runs the node role of this pod until the signal is aborted. */
export async function runNodeRole(signal: AbortSignal): Promise<void> {
  const environment = process.env;
  const log = createLog(levelOf(environment['LOG_LEVEL']), { fields: { role: 'node' } });
  const kube = createKubeClient(await defaultConnection(environment));
  await runNodeWith({ kube, log, environment, probePort: ports.nodeMetrics }, signal);
  kube.close();
}

/** As `runNodeRole`, with everything given. */
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
    resolve: async (hostName) => (await lookup(hostName, { all: true })).map(({ address }) => address),
    clock: systemClock,
    log,
  });
  const ending = new AbortController();
  const until = ending.signal;
  const onAbort = () => ending.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const probes =
    options.probePort === 0
      ? Promise.resolve()
      : serveProbes(
          {
            port: options.probePort,
            host: nodeAddress,
            notReady: () => role.notReady(),
            metrics: () => metricsText(role, inBand),
          },
          until,
        );
  const running = role.run(until);
  try {
    // Probes that cannot be served end the process; the node's work goes on until its own end.
    await Promise.race([running, probes.then(() => running)]);
  } finally {
    ending.abort(new Error('the node role ends'));
    signal.removeEventListener('abort', onAbort);
    await Promise.allSettled([running, probes]);
  }
}

/**
 * Whether this pod ends because Hawser is being uninstalled, and not to be replaced. Who may no longer ask has been
 * uninstalled too: the role goes with the rest.
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
    log.warn('whether Hawser is being uninstalled is not known; the kernel keeps its rules', { error });
    return false;
  }
}

/** The pod's: with ClusterFirstWithHostNet those of the cluster's other pods (kubelet, `clusterDNS`). */
const nameservers = (): string[] => getServers().filter((address) => isIP(address) !== 0);

function required(environment: Record<string, string | undefined>, name: string): string {
  const value = environment[name];
  if (!value) throw new Error(`${name} is not set: the pod gets it from the downward API`);
  return value;
}

/** Prometheus' text format. */
function metricsText(role: FabricNodeRole, inBand: InBand): string {
  const lines: string[] = [];
  const metric = (name: string, type: 'counter' | 'gauge', help: string, values: [string, number][]) => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of values) lines.push(`${name}${labels} ${value}`);
  };
  const snake = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  for (const [name, value] of Object.entries(role.counters())) {
    metric(`hawser_node_${snake(name)}_total`, 'counter', `What the node daemon counts: ${name}.`, [
      ['', value],
    ]);
  }
  const sessions = role.sessions();
  const of = (label: string) => (value: (typeof sessions)[number]) =>
    `{remote="${value.remoteCluster}",tunnel endpoint="${value.tunnelEndpoint ?? ''}"${label}}`;
  const each = (read: (session: (typeof sessions)[number]) => number): [string, number][] =>
    sessions.map((session) => [of('')(session), read(session)]);
  metric(
    'hawser_tunnel_path_verified',
    'gauge',
    'Whether packets pass to a remote and back.',
    each(({ pathVerified }) => (pathVerified ? 1 : 0)),
  );
  metric(
    'hawser_tunnel_round_trip_seconds',
    'gauge',
    'Of the last probe.',
    each(({ roundTripMilliseconds }) => (roundTripMilliseconds ?? Number.NaN) / 1000),
  );
  metric(
    'hawser_tunnel_received_bytes_total',
    'counter',
    'Authentic bytes of the tunnel.',
    each(({ receivedBytes }) => receivedBytes),
  );
  metric(
    'hawser_tunnel_sent_bytes_total',
    'counter',
    'Bytes sealed.',
    each(({ sentBytes }) => sentBytes),
  );
  metric('hawser_tunnel_drops_total', 'counter', 'Packets of a remote that were dropped, by reason.', [
    ...sessions.flatMap((session) =>
      Object.entries(session.drops ?? {}).map(([reason, count]): [string, number] => [
        of(`,reason="${reason}"`)(session),
        count,
      ]),
    ),
    ...Object.entries(role.drops()).map(([reason, count]): [string, number] => [
      `{remote="",reason="${reason}"}`,
      count ?? 0,
    ]),
  ]);
  metric(
    'hawser_refusals_total',
    'counter',
    'Packets of consumers’ pods that were refused, by remote cluster and what they were for; no remote cluster: the address was not known yet.',
    role
      .refusals()
      .map(({ remoteCluster, what, packets }) => [
        `{remote_cluster="${remoteCluster}",what="${what}"}`,
        packets,
      ]),
  );
  const spliced = Object.entries(inBand.counters());
  metric(
    'hawser_inband_connections_total',
    'counter',
    'Connections of in-band consumers, by what became of them.',
    spliced.flatMap(([name, { active: _now, ...outcomes }]) =>
      Object.entries(outcomes).map(([outcome, count]): [string, number] => [
        `{to="${name}",outcome="${snake(outcome)}"}`,
        count,
      ]),
    ),
  );
  metric(
    'hawser_inband_connections',
    'gauge',
    'Connections of in-band consumers now.',
    spliced.map(([name, { active }]) => [`{to="${name}"}`, active]),
  );
  metric(
    'hawser_informer_watching',
    'gauge',
    'Whether a kind is being watched.',
    // Of two for one kind (this node's pods, and all), the one that fails counts.
    [...Map.groupBy(role.informers(), ({ kind }) => kind.kind)].map(([kind, all]) => [
      `{kind="${kind}"}`,
      all.every(({ failure }) => failure === undefined) ? 1 : 0,
    ]),
  );
  metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', [['', process.memoryUsage.rss()]]);
  return `${lines.join('\n')}\n`;
}
