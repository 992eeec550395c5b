/** Applies the current plan to the kernel: when the plan changes, when others changed the kernel, and after a failure. */
import type { Host, HostPlan, RefusedRoute } from '../../host/index.ts';
import { messageOf, stableText, type Log } from '../../kube/index.ts';
import { backoff, type Clock } from '../../../shared/time.ts';
import type { Progress } from './status.ts';

/** Retry interval while the device is being created; it backs off when the device cannot be created. */
const deviceAgain = { base: 100, most: 5_000 };

export class HostKeeper {
  readonly #host: Host;
  readonly #progress: Progress;
  readonly #wake: () => void;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly counters = { hostChanges: 0, hostRepairs: 0 };
  #applied = '';
  #mustCheck = true;
  /** Consecutive attempts that found no device. */
  #absences = 0;
  /** Cancels the scheduled retry; undefined if none is scheduled. */
  #cancelLook: (() => void) | undefined;

  /** @param wake requests another call of `apply` */
  constructor(options: { host: Host; progress: Progress; wake: () => void; clock: Clock; log: Log }) {
    this.#host = options.host;
    this.#progress = options.progress;
    this.#wake = options.wake;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Notes that the kernel's state may have changed. */
  suspect(): void {
    this.#mustCheck = true;
    this.#absences = 0;
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    this.#wake();
  }

  /** Throws when the kernel refuses a change; the other changes are applied, and the next call retries the rest. */
  async apply(plan: HostPlan, signal: AbortSignal): Promise<void> {
    const text = stableText(plan);
    if (text === this.#applied && !this.#mustCheck) return;
    const repair = text === this.#applied;
    this.#mustCheck = false;
    try {
      const { changes, devicePresent, refused, networks } = await this.#host.apply(plan, signal);
      this.#applied = text;
      this.#note(refused, networks);
      delete this.#progress.hostFailure;
      if (changes.length > 0) {
        this.counters[repair ? 'hostRepairs' : 'hostChanges']++;
        const message = repair ? 'the kernel differed from the plan; repaired it' : 'programmed the kernel';
        this.#log.info(message, { changes: changes.slice(0, 20).join('; ') });
      }
      if (devicePresent) this.#absences = 0;
      else this.#lookAgain();
    } catch (error) {
      this.#mustCheck = true;
      this.#progress.hostFailure = messageOf(error);
      throw error;
    }
  }

  #note(refused: readonly RefusedRoute[], networks: readonly string[]): void {
    for (const { prefix, needed } of refused) {
      if (this.#progress.refused?.some((each) => each.prefix === prefix)) continue;
      this.#log.warn('a route is refused', { prefix, covers: needed.range, what: needed.what });
    }
    this.#progress.refused = refused;
    this.#progress.networks = networks;
  }

  #lookAgain(): void {
    this.#mustCheck = true;
    this.#cancelLook ??= this.#clock.after(backoff(this.#absences++, deviceAgain), () => {
      this.#cancelLook = undefined;
      this.#wake();
    });
  }
}
