/** The node's side of the fabric: watches the API, plans, and applies the plan to tunnel device, kernel and probes. */
import { createHash } from 'node:crypto';
import type { NodeSession } from '../../../shared/api/network.ts';
import { ports, tunDevice } from '../../../shared/ports.ts';
import type { Host, HostRefusal } from '../../host/index.ts';
import { messageOf, stableText, type Informer, type KubeClient, type Log } from '../../kube/index.ts';
import { backoff, deadline, sleep, type Clock } from '../../../shared/time.ts';
import { Notifier } from './notifier.ts';
import { runDevice } from './device-loop.ts';
import { createEndpointResolver } from './address-resolver.ts';
import { ApiServerAddresses } from './api-server.ts';
import { HostKeeper } from './host-keeper.ts';
import type { FindHostProblems } from './host-watch.ts';
import type { NodePlan } from '../plan/node-plan.ts';
import { NodePlanner } from './planner.ts';
import { NodeReporter } from './reporter.ts';
import { createNodeSources, type NodeSources } from './sources.ts';
import { readSessions, type Progress } from './status.ts';
import type { InBandService, Resolve, TunnelDevice } from '../ports.ts';
import { createProber, type Prober } from './prober.ts';
import { EndpointLease } from './endpoint-lease.ts';

export interface NodeOptions {
  kube: KubeClient;
  /** Hawser's namespace. */
  namespace: string;
  nodeName: string;
  /** Address by which the cluster's other nodes reach this one. */
  nodeAddress: string;
  version: string;
  device: TunnelDevice;
  host: Host;
  inBand: InBandService;
  /** Calls back when the kernel's state may have changed, until the signal is aborted. */
  monitor: (onChange: () => void, signal: AbortSignal) => Promise<void>;
  /** Reads settings of the node that are not Hawser's and may interfere. */
  hostProblems: FindHostProblems;
  /** MTU of the network device that holds `nodeAddress`. */
  underlayMTU: (signal: AbortSignal) => Promise<number | undefined>;
  resolve: Resolve;
  /** Addresses of the DNS servers of this node, which its pods use too. */
  nameservers: readonly string[];
  /** Host name or address by which this process reaches the API server, if known. */
  apiServer?: string | undefined;
  /**
   * Called at shutdown: whether Hawser is being removed from this node. If not, rules and routes stay in the kernel, so that
   * no packet for a remote leaves the node unencrypted before the next process starts.
   */
  leavesForGood: (signal: AbortSignal) => Promise<boolean>;
  clock: Clock;
  log: Log;
  /** UDP port of the tunnel; differs from `ports.tunnel` only in tests. */
  port?: number;
}

export interface FabricNodeRole {
  /** Runs until the signal is aborted; then removes its rules from the kernel if Hawser is being removed. May be called once. */
  run(signal: AbortSignal): Promise<void>;
  /** Why the node is not ready; undefined if it is. */
  notReady(): string | undefined;
  informers(): readonly Informer[];
  counters(): Record<string, number>;
  /** Path measurements of each remote. */
  sessions(): readonly NodeSession[];
  /** Packets of consumers' pods that the node's rules dropped. */
  refusals(): readonly HostRefusal[];
  /** Dropped packets that belong to no peer, by reason. */
  drops(): Readonly<Partial<Record<string, number>>>;
}

/** Changes come in bursts, and planning costs grow with the number of peers, so the batching delay grows with it too. */
const debounceMilliseconds = 20;
const gapOfPeerMilliseconds = 2;
/** Interval of planning without any event. */
const restMilliseconds = 600_000;
/** Interval at which the choice among a remote's several addresses is checked. */
const tryMilliseconds = 5_000;
const cleanupMilliseconds = 5_000;

/** Constructs the role; nothing happens before `run`. */
export function createFabricNode(options: NodeOptions): FabricNodeRole {
  return new NodeRole(options);
}

class NodeRole implements FabricNodeRole {
  readonly #options: NodeOptions;
  readonly #port: number;
  readonly #notifier = new Notifier();
  readonly #statusNotifier = new Notifier();
  readonly #progress: Progress = { deviceFailure: 'starting' };
  readonly #counters = { plans: 0, deviceChanges: 0, deviceRestarts: 0 };
  readonly #keeper: HostKeeper;
  #sources: NodeSources | undefined;
  #plan: NodePlan | undefined;
  #appliedDevice = '';
  #revision = '';
  #verdict: Prober['verdict'] = () => undefined;
  #reporter: NodeReporter | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#port = options.port ?? ports.tunnel;
    const { host, clock, log } = options;
    const wake = () => this.#notifier.notify();
    this.#keeper = new HostKeeper({ host, clock, log, progress: this.#progress, wake });
  }

  informers = (): readonly Informer[] => this.#sources?.all() ?? [];
  counters = (): Record<string, number> => ({ ...this.#counters, ...this.#keeper.counters });
  sessions = (): readonly NodeSession[] =>
    this.#plan === undefined ? [] : readSessions(this.#plan, this.#options.device.status(), this.#verdict);
  refusals = (): readonly HostRefusal[] => this.#reporter?.refusals ?? [];
  drops = () => this.#options.device.status()?.drops ?? {};
  notReady = (): string | undefined => {
    if (this.#plan === undefined) return 'waiting for the first read of the cluster’s objects';
    return this.#progress.deviceFailure ?? this.#progress.hostFailure;
  };

  async run(signal: AbortSignal): Promise<void> {
    const { kube, clock, log, device, inBand, namespace, nodeName, nodeAddress, version } = this.#options;
    log.info('starting the node role', { node: nodeName, version });
    const onChange = () => this.#notifier.notify();
    const sources = createNodeSources({ ...this.#options, onChange }, signal);
    this.#sources = sources;
    const prober = createProber({ onChange: () => this.#statusNotifier.notify(), log, clock });
    this.#verdict = (remoteCluster) => prober.verdict(remoteCluster);
    const resolver = createEndpointResolver({ resolve: this.#options.resolve, onChange, log, clock });
    const lease: EndpointLease = new EndpointLease({
      kube,
      namespace,
      nodeName,
      assigned: () => sources.fabricNodes.byKey(nodeName)?.spec.tunnelEndpoint,
      served: () => (this.#progress.deviceFailure === undefined ? planner.key.tunnelEndpoint : undefined),
      heard: () => {
        const sessions = this.sessions();
        return sessions.length === 0 ? undefined : sessions.some(({ pathVerified }) => pathVerified);
      },
      onChange,
      clock,
      log,
    });
    const apiServer = new ApiServerAddresses({
      host: this.#options.apiServer,
      resolve: this.#options.resolve,
      onChange,
      log,
      clock,
    });
    const planner = new NodePlanner({
      nodeName,
      nodeAddress,
      namespace,
      sources,
      resolver,
      nameservers: this.#options.nameservers,
      apiServer: () => apiServer.addresses,
      deviceStatus: () => device.status(),
      endpointLost: () => lease.lost,
      progress: this.#progress,
      clock,
      log,
    });
    const reporter = new NodeReporter({
      ...this.#options,
      apiServer: () => apiServer.addresses,
      port: this.#port,
      nodes: sources.fabricNodes,
      progress: this.#progress,
      plan: () => this.#plan,
      revision: () => this.#revision,
      key: () => planner.key,
      verdict: this.#verdict,
      notifier: this.#statusNotifier,
    });
    this.#reporter = reporter;
    await this.#readUnderlay(planner, signal);
    const deviceEvents = {
      onStart: () => {
        delete this.#progress.deviceFailure;
        this.#keeper.suspect();
      },
      onFailure: (reason: string) => {
        this.#progress.deviceFailure = reason;
        this.#counters.deviceRestarts++;
        this.#statusNotifier.notify();
      },
    };
    await Promise.all([
      this.#planLoop(planner, prober, signal),
      runDevice(device, deviceEvents, clock, log, signal),
      reporter.run(signal),
      prober.run(signal),
      inBand.run(signal),
      resolver.run(signal),
      apiServer.run(signal),
      lease.run(signal),
      this.#options.monitor(() => this.#keeper.suspect(), signal),
    ]);
    await this.#leave();
  }

  async #leave(): Promise<void> {
    const { clock, log, host, leavesForGood } = this.#options;
    const limit = deadline(new AbortController().signal, cleanupMilliseconds, 'cleaning up', clock);
    try {
      if (!(await leavesForGood(limit.signal))) {
        log.info('leaving the kernel’s rules in place for the next process');
        return;
      }
      const { changes } = await host.cleanup(tunDevice, limit.signal);
      log.info('removed all rules from the kernel', { changes: changes.length });
    } finally {
      limit.release();
    }
  }

  async #planLoop(planner: NodePlanner, prober: Prober, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    let failures = 0;
    let gap = debounceMilliseconds;
    while (!signal.aborted) {
      await this.#notifier.wait(planner.triesEndpoints ? tryMilliseconds : restMilliseconds, signal, clock);
      await sleep(gap, signal, clock);
      if (signal.aborted) break;
      try {
        await this.#step(planner, prober, signal);
        failures = 0;
        gap = debounceMilliseconds + gapOfPeerMilliseconds * (this.#plan?.device.peers.length ?? 0);
      } catch (error) {
        if (signal.aborted) break;
        log.warn('failed to apply the plan; retrying', { error: messageOf(error), failures });
        this.#statusNotifier.notify();
        await sleep(backoff(failures++, { base: 200, most: 10_000 }), signal, clock);
        this.#notifier.notify();
      }
    }
  }

  async #step(planner: NodePlanner, prober: Prober, signal: AbortSignal): Promise<void> {
    const { device, log } = this.#options;
    if (this.#plan === undefined) {
      if (!planner.knowsEnough(() => this.#notifier.notify())) return;
      log.info('read the cluster’s objects');
    }
    const plan = planner.plan();
    this.#counters.plans++;
    const { key } = planner.key;
    const configuration = { privateKey: key.privateKey, port: this.#port, fwmark: 0, ...plan.device };
    const text = fingerprint(configuration);
    if (text !== this.#appliedDevice) {
      await device.configure(configuration);
      this.#appliedDevice = text;
      this.#counters.deviceChanges++;
    }
    for (const why of plan.warnings) {
      if (!this.#plan?.warnings.includes(why)) log.warn('a part was left out of the plan', { why });
    }
    this.#plan = plan;
    const told = [key.publicKey, plan.host, plan.device.routes, plan.remotePeers.size];
    this.#revision = fingerprint(told).slice(0, 16);
    await this.#keeper.apply(plan.host, signal);
    // After the kernel, since sockets can only bind to existing addresses.
    prober.update(plan.probes);
    this.#options.inBand.update(plan.inBand);
    this.#reporter?.traceIfAsked(signal);
    this.#statusNotifier.notify();
  }

  async #readUnderlay(planner: NodePlanner, signal: AbortSignal): Promise<void> {
    const { underlayMTU, nodeAddress, log } = this.#options;
    const unknown = `the MTU of the node’s network is unknown; assuming ${planner.underlayMTU}`;
    try {
      const found = await underlayMTU(signal);
      if (found !== undefined) planner.underlayMTU = found;
      else log.warn(unknown, { nodeAddress, error: 'no network device has the node’s address' });
    } catch (error) {
      log.warn(unknown, { nodeAddress, error: messageOf(error) });
    }
  }
}

/** A hash that does not reveal the value, which contains keys. */
function fingerprint(value: unknown): string {
  return createHash('sha256').update(stableText(value)).digest('hex');
}
