/**
 * In-band control plane, the provider's part: while a tunnel endpoint's node answers for gateway and API server at the cluster's
 * fixed addresses, their two TCP ports are spliced to where both are. The targets are this cluster's own word: nothing
 * that a remote says chooses one.
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

/** As the fabric plans it. */
export interface InBandPlan {
  gateway: string;
  apiServer: string;
  consumers: { remoteCluster: string; ranges: string[] }[];
}

export interface InBandOptions {
  kube: KubeClient;
  /** Hawser's. */
  namespace: string;
  gatewayService: string;
  log: Log;
  clock?: Clock;
  /** Ports that are listened on; others than those of the fixed addresses in tests only. */
  listen?: { gateway: number; apiServer: number };
}

/**
 * One consumer keeps an event stream and a few connections a peering (16 streams at most are answered). A hostile one is not
 * to fill the gateway, which has one queue for all: the rest of its fairness is the gateway's own, by who signed.
 */
const gatewayConnectionsPerRemote = 64;

export interface InBand {
  update(plan: InBandPlan | undefined): void;
  run(signal: AbortSignal): Promise<void>;
  /** By what is answered for. */
  counters(): Record<string, SpliceCounters>;
  /** Ports that are listened on now, in the order gateway, API server. */
  listening(): (number | undefined)[];
}

/** Nothing happens before `run`, and nothing is listened on without a plan. */
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
        { connectionsPerRemote: gatewayConnectionsPerRemote },
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
      // An API server that ends takes its own address out; without known addresses, open connections are kept.
      splice.sweep((host) => hosts.size === 0 || hosts.has(host));
    }
  }
}

/** Connections take turns at the targets. */
function rotate(targets: readonly Target[], turn: number): Target[] {
  if (targets.length === 0) return [];
  const first = turn % targets.length;
  return [...targets.slice(first), ...targets.slice(0, first)];
}
