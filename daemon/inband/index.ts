/**
 * The provider's side of the in-band control plane: the node that holds a tunnel endpoint listens at the cluster's fixed
 * addresses of API gateway and API server, and splices both TCP ports to the real servers. The targets come only from this
 * cluster's objects; a remote cannot choose them.
 */
import { ports } from '../../shared/ports.ts';
import { addressFamily, anyContains, readRanges } from '../../shared/net/cidr.ts';
import {
  createInformer,
  kind,
  type EndpointSlice,
  type Informer,
  type KubeClient,
  type Log,
} from '../kube/index.ts';
import { systemClock, type Clock } from '../../shared/time.ts';
import { Splice, type SpliceCounters, type SpliceLimits } from './splice.ts';
import { knownHosts, targetsOf, type Target } from './targets.ts';

/** The fabric's plan. */
export interface InBandPlan {
  gateway: string;
  apiServer: string;
  consumers: { remoteCluster: string; ranges: string[] }[];
}

export interface InBandOptions {
  kube: KubeClient;
  /** Hawser's namespace. */
  namespace: string;
  gatewayService: string;
  log: Log;
  clock?: Clock;
  /** Ports to listen on; they differ from the defaults only in tests. */
  listen?: { gateway: number; apiServer: number };
}

/**
 * A consumer needs an event stream and a few connections per peering (at most 16 streams are served). The limit keeps a
 * hostile consumer from exhausting the API gateway, which itself limits requests by their signer.
 */
const gatewayConnectionsPerRemote = 64;
/** Fewer than the API gateway takes from one source, which this node is: here they are shared fairly, there they are not. */
const gatewayConnections = 960;

export interface InBand {
  update(plan: InBandPlan | undefined): void;
  run(signal: AbortSignal): Promise<void>;
  /** Statistics by target. */
  counters(): Record<string, SpliceCounters>;
  /** Ports on which it listens now, in the order API gateway, API server. */
  listening(): (number | undefined)[];
}

/** Nothing happens before `run`, and without a plan nothing listens. */
export function createInBand(options: InBandOptions): InBand {
  return new Service(options);
}

interface Serving {
  addresses: string;
  stop: AbortController;
  splices: { splice: Splice; slices: Informer<EndpointSlice> }[];
  ended: Promise<unknown>;
}

class Service implements InBand {
  readonly #options: InBandOptions;
  readonly #totals = new Map<string, SpliceCounters>();
  #plan: InBandPlan | undefined;
  #allowed: { remoteCluster: string; ranges: ReturnType<typeof readRanges> }[] = [];
  #serving: Serving | undefined;
  #signal: AbortSignal | undefined;

  constructor(options: InBandOptions) {
    this.#options = options;
  }

  counters = (): Record<string, SpliceCounters> => Object.fromEntries(this.#totals);
  listening = () => this.#serving?.splices.map(({ splice }) => splice.listeningOn) ?? [];

  update(plan: InBandPlan | undefined): void {
    this.#plan = plan;
    this.#allowed = (plan?.consumers ?? []).map(({ remoteCluster, ranges }) => ({
      remoteCluster,
      ranges: readRanges(ranges),
    }));
    this.#follow();
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#follow();
    if (!signal.aborted) {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    }
    const serving = this.#serving;
    this.#end();
    await serving?.ended;
  }

  #follow(): void {
    if (this.#signal === undefined || this.#signal.aborted) return;
    const plan = this.#plan;
    const addresses = plan && `${plan.gateway} ${plan.apiServer}`;
    if (addresses !== this.#serving?.addresses) this.#end();
    if (plan !== undefined && addresses !== undefined) this.#serving ??= this.#begin(plan, addresses);
    this.#sweep();
  }

  #end(): void {
    this.#serving?.stop.abort(new Error('no longer serving in-band'));
    this.#serving = undefined;
  }

  #begin(plan: InBandPlan, addresses: string): Serving {
    const { namespace, gatewayService, listen } = this.#options;
    const stop = new AbortController();
    const splices = [
      this.#splice(
        'gateway',
        plan.gateway,
        listen?.gateway ?? ports.gateway,
        { namespace, labelSelector: `kubernetes.io/service-name=${gatewayService}` },
        { connections: gatewayConnections, connectionsPerRemote: gatewayConnectionsPerRemote },
      ),
      this.#splice('api-server', plan.apiServer, listen?.apiServer ?? ports.apiServer, {
        namespace: 'default',
        fieldSelector: 'metadata.name=kubernetes',
      }),
    ];
    const ended = Promise.all(
      splices.flatMap(({ splice, slices }) => [splice.run(stop.signal), slices.run(stop.signal)]),
    );
    return { addresses, stop, splices, ended };
  }

  #splice(
    name: string,
    address: string,
    port: number,
    selection: { namespace: string; labelSelector?: string; fieldSelector?: string },
    limits: Partial<SpliceLimits> = {},
  ): Serving['splices'][number] {
    const { kube, log, clock = systemClock } = this.#options;
    const slices = createInformer<EndpointSlice>(kube, kind.endpointSlice, { ...selection, log, clock });
    let turn = 0;
    const splice = new Splice({
      name,
      address,
      port,
      targets: () => rotate(targetsOf(slices.list()), turn++),
      remoteOf: (source) => this.#remoteOf(source),
      limits,
      log,
      clock,
    });
    slices.onChange(() => this.#sweep());
    this.#totals.set(name, splice.counters);
    return { splice, slices };
  }

  #remoteOf(address: string): string | undefined {
    if (addressFamily(address) === undefined) return undefined;
    return this.#allowed.find(({ ranges }) => anyContains(ranges, address))?.remoteCluster;
  }

  #sweep(): void {
    for (const { splice, slices } of this.#serving?.splices ?? []) {
      const hosts = knownHosts(slices.list());
      // An API server that stops removes its own address; while no addresses are known, open connections are kept.
      splice.sweep((host) => hosts.size === 0 || hosts.has(host));
    }
  }
}

/** Connections are distributed over the targets in turn. */
function rotate(targets: readonly Target[], turn: number): Target[] {
  if (targets.length === 0) return [];
  const first = turn % targets.length;
  return [...targets.slice(first), ...targets.slice(0, first)];
}
