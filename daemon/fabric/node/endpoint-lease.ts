/** A node's side of its tunnel endpoint's Lease: renews it, and detects that another node has become the holder. */
import { isConflict, messageOf, microTime, type KubeClient, type Lease, type Log } from '../../kube/index.ts';
import { deadline, sleep, type Clock } from '../../../shared/time.ts';
import { leaseRef, renewMilliseconds } from '../lease-renewals.ts';

/**
 * After this many consecutive failures the controller may have assigned the endpoint to another node. While remotes answer,
 * the node keeps serving it: an API server outage must not cut tunnels. A node that reaches neither stops until it has read
 * in the Lease that the endpoint is its own; otherwise its first packets would make the remotes roam back to it from the
 * new holder.
 */
const failuresAllowed = 4;

export interface EndpointLeaseOptions {
  kube: KubeClient;
  namespace: string;
  nodeName: string;
  /** Tunnel endpoint that the FabricNode assigns to this node. */
  assigned: () => string | undefined;
  /** Tunnel endpoint that this node serves now. */
  served: () => string | undefined;
  /** Whether any remote answers; undefined if there are no remotes. */
  heard: () => boolean | undefined;
  /** Called when `lost` changes. */
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

  /** Why an assigned tunnel endpoint must not be served; undefined if it may. */
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
      // Another write came first (409 Conflict).
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
    const ref = leaseRef(namespace, tunnelEndpoint);
    const limit = deadline(signal, renewMilliseconds, `lease ${ref.name}`, clock);
    this.#lease = undefined;
    try {
      const lease = known ?? (await kube.get(ref, limit.signal));
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
