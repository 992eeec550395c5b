/** Which consumer's pods have which addresses, according to this cluster's own kubelets. */
import { labels } from '../../shared/names.ts';
import { addressFamily, normalizeAddress } from '../../shared/net/cidr.ts';
import type { Clock } from '../../shared/time.ts';
import type { Pod } from '../../shared/kube/types.ts';

/** The consumer learns of a pod's end later than this cluster, and may name its address for this time. */
const afterwardsMilliseconds = 300_000;

interface Holder {
  consumer: string;
  pod: string;
  /** When the pod lost it; Infinity while it has it. */
  until: number;
}

/** Current and recent addresses of consumers' pods. */
export class AddressBook {
  readonly #holders = new Map<string, Holder>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Must be called for every change of consumers' pods. Returns the addresses whose holder has changed. */
  change(key: string, pod: Pod | undefined, previous: Pod | undefined): string[] {
    const addresses = addressesOf(pod);
    const changed: string[] = [];
    for (const address of addressesOf(previous)) {
      const holder = this.#holders.get(address);
      if (addresses.has(address) || holder?.pod !== key) continue;
      holder.until = this.#clock.monotonic() + afterwardsMilliseconds;
      changed.push(address);
    }
    const consumer = pod?.metadata.labels?.[labels.origin];
    if (consumer === undefined) return changed;
    for (const address of addresses) {
      const before = this.#holders.get(address);
      if (before?.consumer !== consumer || before.until !== Infinity) changed.push(address);
      this.#holders.set(address, { consumer, pod: key, until: Infinity });
    }
    return changed;
  }

  /** Whether a pod of the consumer has the address now. */
  has(consumer: string, address: string): boolean {
    const holder = this.#holders.get(address);
    return holder?.consumer === consumer && holder.until === Infinity;
  }

  /** Whether a pod of the consumer has it, or recently had it and no other pod has it now. */
  hadLately(consumer: string, address: string): boolean {
    const holder = this.#holders.get(address);
    if (holder !== undefined && holder.until < this.#clock.monotonic()) this.#holders.delete(address);
    return holder?.consumer === consumer && holder.until >= this.#clock.monotonic();
  }
}

function addressesOf(pod: Pod | undefined): Set<string> {
  const { podIP, podIPs = [], phase } = pod?.status ?? {};
  if (phase === 'Succeeded' || phase === 'Failed') return new Set();
  const all = [...podIPs.map(({ ip }) => ip), ...(podIP === undefined ? [] : [podIP])];
  return new Set(all.filter((ip) => addressFamily(ip) !== undefined).map(normalizeAddress));
}
