/**
 * Refused requests of consumers beyond their grants: counted for metrics, and reported on the IncomingPeering while they are
 * recent.
 */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { toSeconds, type Finding } from '../../shared/conditions.ts';
import type { Clock } from '../../shared/time.ts';
import type { ControllerMetrics, Source } from '../kube/controller.ts';
import { reasons } from './names.ts';

export type RefusedThing =
  /** A pod with fields or a security level that the grant does not allow. */
  | 'Pod'
  /** A pod beyond the quota: not a violation, so only counted. */
  | 'Room'
  /** A namespace that is not the consumer's, or one too many. */
  | 'Twin'
  /** An endpoint at an address that is not the consumer's. */
  | 'Endpoint'
  /** Objects beyond a namespace's limit; reported by a separate condition. */
  | 'Object'
  /** Objects beyond the limit in bytes, which removes the right to write; reported by the same condition. */
  | 'Bytes';

/** Only counted here, since separate conditions report them. */
const saidElsewhere: ReadonlySet<RefusedThing> = new Set(['Room', 'Object', 'Bytes']);

export interface Refusals {
  /**
   * @param once identifies the attempt, so that reconciling it again does not count it again
   * @returns whether it was counted
   */
  note(peering: IncomingPeering, thing: RefusedThing, once: string, message: string): boolean;
  /** The condition WithinGrant, and when to evaluate it again. */
  finding(peering: IncomingPeering): { finding: Finding; againAfterMilliseconds: number | undefined };
  /** Keys of peerings whose condition may have changed. */
  source: Source;
}

/** How long a refusal is shown after the last one. */
export const recentMilliseconds = 600_000;
/** Minimum interval between status writes, for a consumer with constant refusals. */
const shownMilliseconds = 5_000;
const mostRemembered = 8192;

interface Tally {
  count: number;
  at: number;
  message: string;
  shown: { text: string; at: number } | undefined;
  waking: boolean;
}

/** Creates an empty collection. */
export function createRefusals(clock: Clock, metrics: ControllerMetrics | undefined): Refusals {
  const tallies = new Map<string, Tally>();
  const seen = new Set<string>();
  let enqueue: (key: string) => void = () => undefined;

  const wake = (name: string, tally: Tally) => {
    if (tally.waking) return;
    tally.waking = true;
    const shownFor = tally.shown === undefined ? shownMilliseconds : clock.now() - tally.shown.at;
    clock.after(Math.max(0, shownMilliseconds - shownFor), () => {
      tally.waking = false;
      enqueue(name);
    });
  };

  return {
    note(peering, thing, once, message) {
      const { name, uid = name } = peering.metadata;
      const attempt = `${uid}/${thing}/${once}`;
      if (seen.has(attempt)) return false;
      seen.add(attempt);
      if (seen.size > mostRemembered) seen.delete(seen.values().next().value ?? '');
      metrics?.refused(peering.spec.remoteCluster, thing);
      if (saidElsewhere.has(thing)) return true;
      const tally = tallies.get(uid) ?? { count: 0, at: 0, message: '', shown: undefined, waking: false };
      Object.assign(tally, { count: tally.count + 1, at: clock.now(), message: message.slice(0, 600) });
      tallies.set(uid, tally);
      wake(name, tally);
      return true;
    },
    finding(peering) {
      const type = 'WithinGrant';
      const { name, uid = name } = peering.metadata;
      const tally = tallies.get(uid);
      const age = tally === undefined ? Infinity : clock.now() - tally.at;
      if (tally === undefined || age >= recentMilliseconds) {
        if (tally !== undefined) tallies.delete(uid);
        const message = `no request of ${peering.spec.remoteCluster} exceeded its grant`;
        return {
          finding: { type, status: 'True', reason: reasons.NothingRefused, message },
          againAfterMilliseconds: undefined,
        };
      }
      if (tally.shown === undefined || clock.now() - tally.shown.at >= shownMilliseconds) {
        const text = `requests of ${peering.spec.remoteCluster} refused: ${tally.count}, the last at ${toSeconds(tally.at)}: ${tally.message}`;
        tally.shown = { text, at: clock.now() };
      } else wake(name, tally);
      return {
        finding: { type, status: 'False', reason: reasons.SomethingRefused, message: tally.shown.text },
        againAfterMilliseconds: recentMilliseconds - age,
      };
    },
    source: {
      subscribe(add) {
        enqueue = add;
        return () => {
          enqueue = () => undefined;
        };
      },
      synced: () => Promise.resolve(),
    },
  };
}
