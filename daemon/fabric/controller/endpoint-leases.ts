/** The controller's side of the tunnel endpoints' Leases: it writes the holder of each endpoint and checks that this node renews. */
import { labels } from '../../../shared/names.ts';
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
import {
  afterFailure,
  afterReading,
  isSilent,
  leaseRef,
  readMilliseconds,
  renewMilliseconds,
  type Renewals,
} from '../lease-renewals.ts';

/** A node that stopped renewing is avoided for this time, unless all others have stopped too. */
const avoidedMilliseconds = 60_000;
const attempts = 3;

export interface EndpointLeasesOptions {
  kube: KubeClient;
  namespace: string;
  tunnelEndpoints: readonly string[];
  /** Called when a holder stopped renewing, or when a Lease names another holder than the assigned one. */
  onChange: () => void;
  clock: Clock;
  log: Log;
}

export class EndpointLeases {
  readonly #options: EndpointLeasesOptions;
  /** Tunnel endpoint → the node that it is assigned to. */
  readonly #handed = new Map<string, string>();
  /** Node → until when it is avoided. */
  readonly #silent = new Map<string, number>();

  constructor(options: EndpointLeasesOptions) {
    this.#options = options;
  }

  /** Nodes that recently failed to renew while they held a tunnel endpoint. */
  silent(): ReadonlySet<string> {
    const now = this.#options.clock.monotonic();
    for (const [node, until] of this.#silent) if (now > until) this.#silent.delete(node);
    return new Set(this.#silent.keys());
  }

  /** Called before the new holder is assigned, so that the former one learns from the Lease that it lost the endpoint. */
  async handOver(tunnelEndpoint: string, node: string, signal: AbortSignal): Promise<void> {
    if (this.#handed.get(tunnelEndpoint) === node) return;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#write(tunnelEndpoint, node, signal);
        this.#handed.set(tunnelEndpoint, node);
        return;
      } catch (error) {
        // The holder renewed in the meantime.
        if (!isConflict(error) || attempt === attempts) throw error;
      }
    }
  }

  async #write(tunnelEndpoint: string, node: string, signal: AbortSignal): Promise<void> {
    const { kube, namespace, clock } = this.#options;
    const ref = leaseRef(namespace, tunnelEndpoint);
    const present = await kube.get(ref, signal);
    if (present?.spec?.holderIdentity === node) return;
    const lease: Lease = {
      apiVersion: kind.lease.apiVersion,
      kind: kind.lease.kind,
      metadata: present?.metadata ?? {
        name: ref.name,
        namespace,
        labels: { [labels.managedBy]: 'hawser-fabric' },
      },
      spec: {
        holderIdentity: node,
        leaseDurationSeconds: (4 * renewMilliseconds) / 1000,
        acquireTime: microTime(clock.now()),
        leaseTransitions: (present?.spec?.leaseTransitions ?? 0) + (present === undefined ? 0 : 1),
      },
    };
    if (present === undefined) await kube.create(lease, signal);
    else await kube.replace(lease, {}, signal);
  }

  /** Checks the Leases until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#options.tunnelEndpoints.map((tunnelEndpoint) => this.#listen(tunnelEndpoint, signal)),
    );
  }

  async #listen(tunnelEndpoint: string, signal: AbortSignal): Promise<void> {
    const { kube, namespace, onChange, clock, log } = this.#options;
    const ref = leaseRef(namespace, tunnelEndpoint);
    let renewals: Renewals | undefined;
    while (!signal.aborted) {
      await sleep(readMilliseconds, signal, clock);
      const handed = this.#handed.get(tunnelEndpoint);
      if (handed === undefined || signal.aborted) continue;
      const limit = deadline(signal, 2 * readMilliseconds, `reading the lease ${ref.name}`, clock);
      try {
        renewals = afterReading(renewals, await kube.get(ref, limit.signal));
      } catch (error) {
        if (!signal.aborted)
          log.debug('failed to read the lease of a tunnel endpoint', {
            tunnelEndpoint,
            error: messageOf(error),
          });
        renewals = afterFailure(renewals);
        continue;
      } finally {
        limit.release();
      }
      if (renewals?.holder !== handed && this.#handed.get(tunnelEndpoint) === handed) {
        this.#handed.delete(tunnelEndpoint);
        onChange();
      } else if (!isSilent(renewals)) {
        if (renewals?.unchanged === 0 && renewals.renewTime !== undefined) this.#silent.delete(handed);
      } else {
        const known = this.silent().has(handed);
        this.#silent.set(handed, clock.monotonic() + avoidedMilliseconds);
        if (known) continue;
        log.warn('the node that holds a tunnel endpoint does not renew its lease', {
          tunnelEndpoint,
          node: handed,
        });
        onChange();
      }
    }
  }
}
