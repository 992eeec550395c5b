/** Writes the status of this node's FabricNode: progress with the plan, interfering settings, refusals and traces. */
import type { HostProblem, NodeTrace } from '../../../shared/api/network.ts';
import { annotations } from '../../../shared/names.ts';
import { addressFamily } from '../../../shared/net/cidr.ts';
import type { Host, HostRefusal } from '../../host/index.ts';
import type { KubeClient, Log } from '../../kube/index.ts';
import type { Clock } from '../../../shared/time.ts';
import type { Notifier } from './notifier.ts';
import { echo } from './echo.ts';
import { watchHost, type FindHostProblems } from './host-watch.ts';
import type { NodeKey } from '../node-key.ts';
import type { NodePlan } from '../plan/node-plan.ts';
import type { NodeSources } from './sources.ts';
import { refusedProblems, reportNetworks } from './networks.ts';
import type { Progress } from './status.ts';
import { writeNodeStatus, type NodeReport } from './status-writer.ts';
import type { TunnelDevice } from '../ports.ts';
import type { Prober } from './prober.ts';
import { watchRefusals } from './refusals.ts';
import { Tracer } from './tracer.ts';

export interface ReporterOptions {
  kube: KubeClient;
  nodeName: string;
  nodeAddress: string;
  /** UDP port of the tunnel. */
  port: number;
  version: string;
  device: Pick<TunnelDevice, 'status'>;
  host: Pick<Host, 'refusals'>;
  hostProblems: FindHostProblems;
  nodes: NodeSources['fabricNodes'];
  progress: Progress;
  /** The current plan; undefined before the first one. */
  plan: () => NodePlan | undefined;
  /** Hash of the parts of the plan that other nodes wait for. */
  revision: () => string;
  key: () => NodeKey;
  verdict: Prober['verdict'];
  /** DNS servers of this node. */
  nameservers: readonly string[];
  /** Addresses of the API server as this node reaches it. */
  apiServer: () => readonly string[];
  /** Notified when the status has to be written. */
  notifier: Notifier;
  clock: Clock;
  log: Log;
}

/** As many as the API allows. */
const mostRefusals = 256;
const mostProblems = 16;

export class NodeReporter {
  readonly #options: ReporterOptions;
  readonly #tracer: Tracer;
  #hostProblems: readonly HostProblem[] = [];
  #refusals: readonly HostRefusal[] = [];
  #trace: NodeTrace | undefined;

  constructor(options: ReporterOptions) {
    this.#options = options;
    const { plan, device, nodes, nodeName, notifier, clock, log } = options;
    this.#tracer = new Tracer({
      plan,
      deviceStatus: () => device.status(),
      nameOf: (publicKey) =>
        plan()?.remotePeers.get(publicKey)?.remoteCluster ??
        nodes.list().find(({ status }) => status?.publicKey === publicKey)?.metadata.name,
      source: () => nodes.byKey(nodeName)?.spec.externalAddress,
      echo,
      onDone: (trace) => {
        this.#trace = trace;
        notifier.notify();
      },
      clock,
      log,
    });
  }

  /** Packets of consumers' pods that the node's rules dropped. */
  get refusals(): readonly HostRefusal[] {
    return this.#refusals;
  }

  /** `hawser trace` requests a trace by an annotation on this node's FabricNode. */
  traceIfAsked(signal: AbortSignal): void {
    const own = this.#options.nodes.byKey(this.#options.nodeName);
    this.#tracer.look(own?.metadata.annotations?.[annotations.trace], own?.status?.trace?.id, signal);
  }

  /** Runs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { kube, notifier, host, hostProblems, plan, clock, log } = this.#options;
    const onProblems = (problems: readonly HostProblem[]) => {
      this.#hostProblems = problems;
      notifier.notify();
    };
    const onRefusals = (refusals: readonly HostRefusal[]) => {
      this.#refusals = refusals;
      notifier.notify();
    };
    const read = (until: AbortSignal) => host.refusals(until);
    const isolates = () => plan()?.host.isolation !== undefined;
    await Promise.all([
      writeNodeStatus(kube, () => this.#report(), notifier, clock, log, signal),
      watchHost({ find: hostProblems, plan: () => plan()?.host, onChange: onProblems, clock, log }, signal),
      watchRefusals({ read, isolates, onChange: onRefusals, clock, log }, signal),
    ]);
  }

  #report(): NodeReport | undefined {
    const { nodes, nodeName, nodeAddress, port, version, device, progress, verdict } = this.#options;
    const node = nodes.byKey(nodeName);
    const plan = this.#options.plan();
    if (node === undefined || plan === undefined) return undefined;
    const status = device.status();
    const starting = status === null && progress.deviceFailure === undefined;
    const { key, tunnelEndpoint } = this.#options.key();
    const host = addressFamily(nodeAddress) === 6 ? `[${nodeAddress}]` : nodeAddress;
    const refused = refusedProblems(progress.refused ?? []);
    const hostProblems = [...refused, ...this.#hostProblems].slice(0, mostProblems);
    return {
      node,
      plan,
      progress: starting ? { ...progress, deviceFailure: 'starting' } : progress,
      device: status,
      fields: {
        publicKey: key.publicKey,
        endpoint: `${host}:${port}`,
        heldTunnelEndpoint: tunnelEndpoint,
        appliedRevision: this.#options.revision(),
        trace: this.#trace,
        networks:
          progress.networks &&
          reportNetworks({
            routes: progress.networks,
            resolvers: this.#options.nameservers,
            apiServer: this.#options.apiServer(),
            podRanges: plan.host.packets.podRanges,
          }),
        hostProblems: hostProblems.length > 0 ? hostProblems : undefined,
        refusals: this.#refusals.length > 0 ? this.#refusals.slice(0, mostRefusals) : undefined,
        mappingRevision: tunnelEndpoint === undefined ? undefined : plan.mappingRevision,
        version,
      },
      verdict,
    };
  }
}
