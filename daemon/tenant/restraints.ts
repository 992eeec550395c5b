/**
 * A consumer that exceeds a limit loses the right to write in its twin namespaces. Existing objects stay and can be read and
 * deleted, pods keep running, and other consumers are unaffected.
 */
import type { Grant } from '../../shared/api/grant.ts';
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { sleep, type Clock } from '../../shared/time.ts';
import { triggers, type Source } from '../kube/controller.ts';
import type { PolicyRule } from '../../shared/kube/types.ts';

/** `Bytes`: its objects are larger than its budget. `Endpoints`: it keeps naming addresses that are not its own. */
export type Restraint = 'Bytes' | 'Endpoints';

/** Limits of foreign addresses per minute, and of repetitions of one, before the right to write endpoints is removed. */
const mostForeign = 256;
const mostOfOneAddress = 16;
const windowMilliseconds = 60_000;
/** How long the right is removed, from the last attempt on. */
const penaltyMilliseconds = 600_000;

const mebibyte = 1 << 20;
/** The right is restored when this part of the budget is free. */
const enoughFree = 0.1;

/** Maximum total bytes of a consumer's objects: a base per peering, plus a share per granted pod. */
export const mostBytes = ({ pods }: Grant): number =>
  Math.min(256 * mebibyte, 16 * mebibyte + pods * 262_144);

const writing = new Set(['create', 'update', 'patch']);
const withoutWriting = (rule: PolicyRule): PolicyRule => ({
  ...rule,
  verbs: rule.verbs.filter((verb) => !writing.has(verb)),
});
const isPods = ({ resources }: PolicyRule) => resources.some((each) => each.startsWith('pods'));
const isSlices = ({ resources }: PolicyRule) => resources.includes('endpointslices');

/** The remaining rules in a twin namespace. Pure. */
export function restrainedRules(
  rules: readonly PolicyRule[],
  restraints: readonly Restraint[],
): readonly PolicyRule[] {
  if (restraints.includes('Bytes')) return rules.map((rule) => (isPods(rule) ? rule : withoutWriting(rule)));
  if (restraints.includes('Endpoints'))
    return rules.map((rule) => (isSlices(rule) ? withoutWriting(rule) : rule));
  return rules;
}

export interface Restraints {
  of(peering: IncomingPeering): readonly Restraint[];
  /** Records the total bytes of a consumer's objects. */
  weigh(peering: IncomingPeering, bytes: number): void;
  /** Records a foreign address in a consumer’s record. */
  foreign(peering: IncomingPeering, address: string): void;
  /** Keys of peerings whose restraints have changed. */
  source: Source;
}

interface Attempts {
  since: number;
  total: number;
  addresses: Map<string, number>;
}

/** Creates an empty collection, whose timers end with the signal. */
export function createRestraints(clock: Clock, signal: AbortSignal): Restraints {
  const heavy = new Set<string>();
  const attempts = new Map<string, Attempts>();
  const until = new Map<string, number>();
  const changed = triggers();
  const idOf = ({ metadata }: IncomingPeering) => metadata.uid ?? metadata.name;

  async function endInTime(id: string, name: string): Promise<void> {
    for (let left = penaltyMilliseconds; left > 0; left = (until.get(id) ?? 0) - clock.monotonic()) {
      await sleep(left, signal, clock);
      if (signal.aborted) return;
    }
    until.delete(id);
    changed.trigger(name);
  }

  return {
    of(peering) {
      const id = idOf(peering);
      const restraints: Restraint[] = [];
      if (heavy.has(id)) restraints.push('Bytes');
      if ((until.get(id) ?? 0) > clock.monotonic()) restraints.push('Endpoints');
      return restraints;
    },
    weigh(peering, bytes) {
      const id = idOf(peering);
      const most = mostBytes(peering.spec.grant);
      const isHeavy = heavy.has(id) ? bytes > most * (1 - enoughFree) : bytes > most;
      if (isHeavy === heavy.has(id)) return;
      if (isHeavy) heavy.add(id);
      else heavy.delete(id);
      changed.trigger(peering.metadata.name);
    },
    foreign(peering, address) {
      const id = idOf(peering);
      let tally = attempts.get(id);
      if (tally === undefined || clock.monotonic() - tally.since > windowMilliseconds) {
        tally = { since: clock.monotonic(), total: 0, addresses: new Map() };
        attempts.set(id, tally);
      }
      tally.total += 1;
      const often = (tally.addresses.get(address) ?? 0) + 1;
      if (tally.addresses.size < mostForeign) tally.addresses.set(address, often);
      if (tally.total <= mostForeign && often <= mostOfOneAddress) return;
      const already = (until.get(id) ?? 0) > clock.monotonic();
      until.set(id, clock.monotonic() + penaltyMilliseconds);
      if (already) return;
      void endInTime(id, peering.metadata.name);
      changed.trigger(peering.metadata.name);
    },
    source: changed,
  };
}
