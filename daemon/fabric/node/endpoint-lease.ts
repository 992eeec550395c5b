/** A node's part of its slot's Lease: renews it, and knows when the slot has become another node's. */
import { slotLease } from '../../../shared/names.ts';
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
 * After so many failures in a row the controller may have given the slot away. While remotes are heard the slot is kept
 * all the same: an API server that is down is no reason to cut tunnels. Whoever hears neither keeps still until it has
 * read that the slot is its own, or its first packets would draw the remotes away from the node that took over.
 */
const failuresAllowed = 4;

export interface SlotTenureOptions {
  kube: KubeClient;
  namespace: string;
  nodeName: string;
  /** Slot that the FabricNode says is this node's. */
  assigned: () => string | undefined;
  /** Slot that this node serves now. */
  served: () => string | undefined;
  /** Whether any of the remotes answers; undefined: there is none. */
  heard: () => boolean | undefined;
  /** `lost` is another than before. */
  onTurn: () => void;
  clock: Clock;
  log: Log;
}

export class SlotTenure {
  readonly #options: SlotTenureOptions;
  #lost: string | undefined;
  #lease: Lease | undefined;

  constructor(options: SlotTenureOptions) {
    this.#options = options;
  }

  /** Why an assigned slot is not to be served; undefined: it is. */
  get lost(): string | undefined {
    return this.#lost;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { assigned, heard, clock, log } = this.#options;
    let failures = 0;
    let said = '';
    while (!signal.aborted) {
      await sleep(renewMilliseconds, signal, clock);
      const slot = assigned();
      if (signal.aborted || slot === undefined) {
        failures = 0;
        this.#lease = undefined;
        this.#turn(undefined);
        continue;
      }
      try {
        this.#turn(await this.#renew(slot, signal));
        failures = 0;
        said = '';
      } catch (error) {
        const message = messageOf(error);
        if (!signal.aborted && message !== said) log.warn('the slot’s lease is not renewed', { slot, error });
        said = message;
        if (++failures >= failuresAllowed && heard() === false)
          this.#turn('neither the API server nor any remote is heard: another node may hold the slot');
      }
    }
  }

  /** Returns why the slot is not this node's. */
  async #renew(slot: string, signal: AbortSignal): Promise<string | undefined> {
    const known = this.#lease;
    try {
      return await this.#attempt(slot, known, signal);
    } catch (error) {
      // Another's word has come in between.
      if (!isConflict(error) || known === undefined) throw error;
      return await this.#attempt(slot, undefined, signal);
    }
  }

  async #attempt(slot: string, known: Lease | undefined, signal: AbortSignal): Promise<string | undefined> {
    const { kube, namespace, nodeName, served, clock } = this.#options;
    const ref = { kind: kind.lease, namespace, name: slotLease(slot) };
    const limit = deadline(signal, renewMilliseconds, `lease ${ref.name}`, clock);
    this.#lease = undefined;
    try {
      const lease = known ?? (await kube.get<Lease>(ref, limit.signal));
      const holder = lease?.spec?.holderIdentity;
      if (lease === undefined || !holder) return undefined;
      if (holder !== nodeName) return `node ${holder} holds it`;
      // What is not served yet is not renewed: the controller shall see when that does not come to pass.
      if (served() !== slot) return undefined;
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
    const { log, onTurn } = this.#options;
    if (lost !== undefined) log.warn('the slot is let go', { why: lost });
    onTurn();
  }
}
