/** A node's part of its tunnel endpoint's Lease: renews it, and knows when the tunnel endpoint has become another node's. */
import { endpointLease } from '../../../shared/names.ts';
import {
  isConflict,
  kind,
  messageOf,
  microTime,
  type KubeClient,
  type Lease,
  type Log,
} from '../../kube/index.ts';
import { deadline, sleep, type Clock } from '../../../shared/time.ts';
import { renewMilliseconds } from '../lease-renewals.ts';

/**
 * After so many failures in a row the controller may have given the tunnel endpoint away. While remotes are heard the tunnel endpoint is kept
 * all the same: an API server that is down is no reason to cut tunnels. Whoever hears neither keeps still until it has
 * read that the tunnel endpoint is its own, or its first packets would draw the remotes away from the node that took over.
 */
const failuresAllowed = 4;

export interface EndpointLeaseOptions {
  kube: KubeClient;
  namespace: string;
  nodeName: string;
  /** Tunnel endpoint that the FabricNode says is this node's. */
  assigned: () => string | undefined;
  /** Tunnel endpoint that this node serves now. */
  served: () => string | undefined;
  /** Whether any of the remotes answers; undefined: there is none. */
  heard: () => boolean | undefined;
  /** `lost` is another than before. */
  onChange: () => void;
  clock: Clock;
  log: Log;
}

export class EndpointLease {
  readonly #options: EndpointLeaseOptions;
  #lost: string | undefined;
  #lease: Lease | undefined;

  constructor(options: EndpointLeaseOptions) {
    this.#options = options;
  }

  /** Why an assigned tunnel endpoint is not to be served; undefined: it is. */
  get lost(): string | undefined {
    return this.#lost;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { assigned, heard, clock, log } = this.#options;
    let failures = 0;
    let said = '';
    while (!signal.aborted) {
      await sleep(renewMilliseconds, signal, clock);
      const tunnelEndpoint = assigned();
      if (signal.aborted || tunnelEndpoint === undefined) {
        failures = 0;
        this.#lease = undefined;
        this.#turn(undefined);
        continue;
      }
      try {
        this.#turn(await this.#renew(tunnelEndpoint, signal));
        failures = 0;
        said = '';
      } catch (error) {
        const message = messageOf(error);
        if (!signal.aborted && message !== said)
          log.warn('failed to renew the lease of the tunnel endpoint', { tunnelEndpoint, error });
        said = message;
        if (++failures >= failuresAllowed && heard() === false)
          this.#turn(
            'neither the API server nor any remote answers: another node may hold the tunnel endpoint',
          );
      }
    }
  }

  /** Returns why the tunnel endpoint is not this node's. */
  async #renew(tunnelEndpoint: string, signal: AbortSignal): Promise<string | undefined> {
    const known = this.#lease;
    try {
      return await this.#attempt(tunnelEndpoint, known, signal);
    } catch (error) {
      // Another write came first.
      if (!isConflict(error) || known === undefined) throw error;
      return await this.#attempt(tunnelEndpoint, undefined, signal);
    }
  }

  async #attempt(
    tunnelEndpoint: string,
    known: Lease | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { kube, namespace, nodeName, served, clock } = this.#options;
    const ref = { kind: kind.lease, namespace, name: endpointLease(tunnelEndpoint) };
    const limit = deadline(signal, renewMilliseconds, `lease ${ref.name}`, clock);
    this.#lease = undefined;
    try {
      const lease = known ?? (await kube.get<Lease>(ref, limit.signal));
      const holder = lease?.spec?.holderIdentity;
      if (lease === undefined || !holder) return undefined;
      if (holder !== nodeName) return `node ${holder} holds it`;
      // The Lease is renewed only once the endpoint is served, so that the controller notices when it is not.
      if (served() !== tunnelEndpoint) return undefined;
      const spec = { ...lease.spec, renewTime: microTime(clock.now()) };
      this.#lease = await kube.replace({ ...lease, spec }, {}, limit.signal);
      return undefined;
    } finally {
      limit.release();
    }
  }

  #turn(lost: string | undefined): void {
    if (lost === this.#lost) return;
    this.#lost = lost;
    const { log, onChange } = this.#options;
    if (lost !== undefined) log.warn('released the tunnel endpoint', { why: lost });
    onChange();
  }
}
