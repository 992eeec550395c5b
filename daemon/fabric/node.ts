/** A node's part in the fabric: watches the API, plans, and brings tunnel device, kernel and probes to the plan. */
import { createHash } from 'node:crypto';
import { ports, tunDevice } from '../../shared/names.ts';
import { addressFamily } from '../../shared/net/cidr.ts';
import type { Host } from '../host/index.ts';
import {
  backoff,
  deadline,
  messageOf,
  sleep,
  stableText,
  type Clock,
  type Informer,
  type KubeClient,
  type Log,
} from '../kube/index.ts';
import { Bell } from './bell.ts';
import { runDevice } from './device-loop.ts';
import { EndpointChoice } from './endpoint-choice.ts';
import { createEndpointResolver } from './endpoints.ts';
import { chooseNodeKey, readPresharedKeys, type NodeKey } from './node-key.ts';
import { planNode, type NodePlan } from './node-plan.ts';
import { createNodeSources, type NodeSources } from './node-sources.ts';
import type { Progress } from './node-status.ts';
import { writeNodeStatus, type NodeReport } from './node-status-writer.ts';
import type { Resolve, TunnelDevice } from './ports.ts';
import { createProber, type Prober } from './prober.ts';
import { readWorld } from './read-world.ts';
import { generateTunnelKey } from './tunnel-keys.ts';

export interface NodeOptions {
  kube: KubeClient;
  /** Hawser's namespace. */
  namespace: string;
  nodeName: string;
  /** By which the cluster's other nodes reach this one. */
  nodeAddress: string;
  version: string;
  device: TunnelDevice;
  host: Host;
  /** Calls back when the kernel's state may have changed, until the signal is aborted. */
  monitor: (onChange: () => void, signal: AbortSignal) => Promise<void>;
  /** Of the device that holds `nodeAddress`. */
  underlayMTU: (signal: AbortSignal) => Promise<number | undefined>;
  resolve: Resolve;
  /**
   * Asked at the end: whether Hawser leaves this node for good. If it does not, what the kernel holds stays, so that
   * nothing for a remote leaves the node unencrypted until the next process is there.
   */
  leavesForGood: (signal: AbortSignal) => Promise<boolean>;
  clock: Clock;
  log: Log;
  /** UDP port of the tunnel; other than `ports.tunnel` in tests only. */
  port?: number;
}

export interface FabricNodeRole {
  /** Until the signal is aborted; then takes away what it made in the kernel, if it leaves for good. Once. */
  run(signal: AbortSignal): Promise<void>;
  /** Why it is not ready; undefined: it is. */
  notReady(): string | undefined;
  informers(): readonly Informer[];
  counters(): Record<string, number>;
}

/** Changes come in crowds. */
const settleMilliseconds = 20;
/** After which the world is looked at again though nothing was said. */
const restMilliseconds = 600_000;
/** The device is being made: its addresses follow soon. */
const deviceMilliseconds = 100;
/** So often is seen whether a remote with several endpoints answers at the one that is tried. */
const tryMilliseconds = 5_000;
const patienceMilliseconds = 5_000;
const defaultUnderlayMTU = 1500;
const cleanupMilliseconds = 5_000;

/** Makes the role; nothing happens before `run`. */
export function createFabricNode(options: NodeOptions): FabricNodeRole {
  return new NodeRole(options);
}

class NodeRole implements FabricNodeRole {
  readonly #options: NodeOptions;
  readonly #port: number;
  readonly #bell = new Bell();
  readonly #statusBell = new Bell();
  readonly #nodeKey = generateTunnelKey();
  readonly #progress: Progress = { deviceFailure: 'it is being started' };
  readonly #counters = { plans: 0, deviceChanges: 0, hostChanges: 0, hostRepairs: 0, deviceRestarts: 0 };
  readonly #endpoints = new EndpointChoice();
  #nodeKeyInUse: NodeKey;
  #sources: NodeSources | undefined;
  #plan: NodePlan | undefined;
  #underlayMTU = defaultUnderlayMTU;
  #appliedDevice = '';
  #appliedHost = '';
  #revision = '';
  #checkHost = true;
  /** Until when the first plan waits for what a gateway must know. */
  #patienceUntil: number | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#port = options.port ?? ports.tunnel;
    this.#nodeKeyInUse = { key: this.#nodeKey };
  }

  informers = (): readonly Informer[] => this.#sources?.all() ?? [];
  counters = (): Record<string, number> => ({ ...this.#counters });
  notReady = (): string | undefined => {
    if (this.#plan === undefined) return 'waiting for the first look at the cluster';
    return this.#progress.deviceFailure ?? this.#progress.hostFailure;
  };

  async run(signal: AbortSignal): Promise<void> {
    const { kube, clock, log, host } = this.#options;
    log.info('the node role begins', { node: this.#options.nodeName, version: this.#options.version });
    const onChange = () => this.#bell.ring();
    const sources = createNodeSources({ ...this.#options, onChange }, signal);
    this.#sources = sources;
    const prober = createProber({ onTurn: () => this.#statusBell.ring(), log, clock });
    const resolver = createEndpointResolver({ resolve: this.#options.resolve, onChange, log, clock });
    await this.#readUnderlay(signal);
    const onKernel = () => {
      this.#checkHost = true;
      onChange();
    };
    await Promise.all([
      this.#planLoop(() => this.#step(sources, prober, resolver, signal), signal),
      runDevice(
        this.#options.device,
        {
          onStart: () => {
            delete this.#progress.deviceFailure;
            onKernel();
          },
          onFailure: (reason) => {
            this.#progress.deviceFailure = reason;
            this.#counters.deviceRestarts++;
            this.#statusBell.ring();
          },
        },
        clock,
        log,
        signal,
      ),
      writeNodeStatus(kube, () => this.#report(sources, prober), this.#statusBell, clock, log, signal),
      prober.run(signal),
      resolver.run(signal),
      this.#options.monitor(onKernel, signal),
    ]);
    const limit = deadline(new AbortController().signal, cleanupMilliseconds, 'cleaning up', clock);
    try {
      if (!(await this.#options.leavesForGood(limit.signal))) {
        log.info('the kernel keeps its rules for the next process');
        return;
      }
      const { changes } = await host.cleanup(tunDevice, limit.signal);
      log.info('the kernel is as it was before', { changes: changes.length });
    } finally {
      limit.release();
    }
  }

  async #planLoop(step: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      await this.#bell.wait(this.#triesEndpoints() ? tryMilliseconds : restMilliseconds, signal, clock);
      await sleep(settleMilliseconds, signal, clock);
      if (signal.aborted) break;
      try {
        await step();
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        log.warn('the plan is not applied, will try again', { error: messageOf(error), failures });
        this.#statusBell.ring();
        await sleep(backoff(failures++, { base: 200, most: 10_000 }), signal, clock);
        this.#bell.ring();
      }
    }
  }

  /** Whether a slot that has several endpoints is being looked for. */
  #triesEndpoints(): boolean {
    const slots = this.#sources?.tunnels.list().flatMap(({ spec }) => spec.remoteSlots) ?? [];
    return this.#nodeKeyInUse.slot !== undefined && slots.some(({ endpoints }) => endpoints.length > 1);
  }

  async #step(
    sources: NodeSources,
    prober: Prober,
    resolver: ReturnType<typeof createEndpointResolver>,
    signal: AbortSignal,
  ): Promise<void> {
    const { device, log } = this.#options;
    if (this.#plan === undefined && !this.#knowsEnough(sources)) return;
    if (this.#plan === undefined) log.info('the cluster is known');
    const plan = this.#makePlan(sources, resolver);
    const { key } = this.#nodeKeyInUse;
    const configuration = { privateKey: key.privateKey, port: this.#port, fwmark: 0, ...plan.device };
    const text = fingerprint(configuration);
    if (text !== this.#appliedDevice) {
      await device.configure(configuration);
      this.#appliedDevice = text;
      this.#counters.deviceChanges++;
    }
    for (const why of plan.warnings) {
      if (!this.#plan?.warnings.includes(why)) log.warn('left out of the plan', { why });
    }
    this.#plan = plan;
    this.#revision = fingerprint([key.publicKey, plan.host, plan.device.routes, plan.remotePeers.size]).slice(
      0,
      16,
    );
    await this.#applyHost(plan, signal);
    // After the kernel: sockets are bound to addresses that are there.
    prober.update(plan.probes);
    this.#statusBell.ring();
  }

  /** Whether a first plan can be made: one without the slot that this node is to hold would have to be taken back. */
  #knowsEnough(sources: NodeSources): boolean {
    if (!sources.hasSynced()) return false;
    const assigned = sources.fabricNodes.byKey(this.#options.nodeName)?.spec.slot;
    sources.setSlot(assigned);
    if (assigned === undefined || sources.gatewaySynced()) return true;
    const { clock } = this.#options;
    this.#patienceUntil ??= clock.now() + patienceMilliseconds;
    if (clock.now() >= this.#patienceUntil) return true;
    clock.after(this.#patienceUntil - clock.now(), () => this.#bell.ring());
    return false;
  }

  #makePlan(
    sources: NodeSources,
    resolver: { get(endpoint: string): string | undefined; keep(all: ReadonlySet<string>): void },
  ): NodePlan {
    const { nodeName, nodeAddress, log } = this.#options;
    const assigned = sources.fabricNodes.byKey(nodeName)?.spec.slot;
    sources.setSlot(assigned);
    const before = this.#nodeKeyInUse;
    const watched = sources.gateway();
    const secret = watched?.slotKey.list()[0];
    this.#nodeKeyInUse = chooseNodeKey(this.#nodeKey, before, assigned, secret, sources.gatewaySynced());
    const { key, slot, waiting } = this.#nodeKeyInUse;
    if (slot !== before.slot)
      log.info(slot === undefined ? 'no longer holding a slot' : 'holding a slot', { slot });
    if (waiting === undefined) delete this.#progress.slotWaiting;
    else this.#progress.slotWaiting = waiting;

    const gateway = slot === undefined ? undefined : watched;
    const tunnels = sources.tunnels.list();
    const slots = tunnels.flatMap(({ spec }) => spec.remoteSlots);
    resolver.keep(new Set(slots.flatMap(({ endpoints }) => endpoints)));
    this.#endpoints.keep(new Set(slots.map(({ publicKey }) => publicKey)));
    this.#counters.plans++;
    return planNode(
      readWorld(
        {
          localCluster: sources.localClusters.byKey('self'),
          fabricNodes: sources.fabricNodes.list(),
          tunnels,
          pods: (gateway?.pods ?? sources.pods()).list(),
          twinNamespaces: gateway?.twinNamespaces.list() ?? [],
          incomingPeerings: gateway?.incomingPeerings.list() ?? [],
          outgoingPeerings: gateway?.outgoingPeerings.list() ?? [],
        },
        {
          name: nodeName,
          address: nodeAddress,
          publicKey: key.publicKey,
          underlayMTU: this.#underlayMTU,
          ...(slot !== undefined && { slot }),
        },
        readPresharedKeys(gateway?.tunnelKeys.list()[0]),
        this.#endpointOf(resolver),
      ),
    );
  }

  /** A function that says where a remote slot is called now. */
  #endpointOf(resolver: { get(endpoint: string): string | undefined }) {
    const { device, clock } = this.#options;
    const peers = new Map(device.status()?.peers.map((peer) => [peer.publicKey, peer.established]));
    return ({ publicKey, endpoints }: { publicKey: string; endpoints: readonly string[] }) =>
      this.#endpoints.pick(
        publicKey,
        endpoints.flatMap((endpoint) => resolver.get(endpoint) ?? []),
        peers.get(publicKey) ?? false,
        clock.now(),
      );
  }

  async #applyHost(plan: NodePlan, signal: AbortSignal): Promise<void> {
    const { host, log, clock } = this.#options;
    const text = stableText(plan.host);
    if (text === this.#appliedHost && !this.#checkHost) return;
    const repair = text === this.#appliedHost;
    this.#checkHost = false;
    try {
      const { changes, devicePresent } = await host.apply(plan.host, signal);
      this.#appliedHost = text;
      delete this.#progress.hostFailure;
      if (changes.length > 0) {
        this.#counters[repair ? 'hostRepairs' : 'hostChanges']++;
        const message = repair ? 'the kernel was not as planned; repaired' : 'the kernel was programmed';
        log.info(message, { changes: changes.slice(0, 20).join('; ') });
      }
      if (!devicePresent) {
        this.#checkHost = true;
        clock.after(deviceMilliseconds, () => this.#bell.ring());
      }
    } catch (error) {
      this.#checkHost = true;
      this.#progress.hostFailure = messageOf(error);
      throw error;
    }
  }

  #report(sources: NodeSources, prober: Prober): NodeReport | undefined {
    const { nodeName, nodeAddress, version, device } = this.#options;
    const node = sources.fabricNodes.byKey(nodeName);
    if (node === undefined || this.#plan === undefined) return undefined;
    const status = device.status();
    const starting = status === null && this.#progress.deviceFailure === undefined;
    const { key, slot } = this.#nodeKeyInUse;
    return {
      node,
      plan: this.#plan,
      progress: starting ? { ...this.#progress, deviceFailure: 'it is being started' } : this.#progress,
      device: status,
      fields: {
        publicKey: key.publicKey,
        endpoint:
          addressFamily(nodeAddress) === 6
            ? `[${nodeAddress}]:${this.#port}`
            : `${nodeAddress}:${this.#port}`,
        heldSlot: slot,
        appliedRevision: this.#revision,
        version,
      },
      verdict: (remoteCluster) => prober.verdict(remoteCluster),
    };
  }

  async #readUnderlay(signal: AbortSignal): Promise<void> {
    const { underlayMTU, nodeAddress, log } = this.#options;
    try {
      const found = await underlayMTU(signal);
      if (found !== undefined) this.#underlayMTU = found;
      else log.warn('no device holds the node’s address; its MTU is taken to be 1500', { nodeAddress });
    } catch (error) {
      log.warn('the MTU of the node’s network is not known and taken to be 1500', {
        error: messageOf(error),
      });
    }
  }
}

/** Names a value without telling it: keys are among what it is made of. */
function fingerprint(value: unknown): string {
  const text = stableText(value);
  return createHash('sha256').update(text).digest('hex');
}
