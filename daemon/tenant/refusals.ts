/**
 * What was refused to a consumer beyond what it was granted: counted for metrics, and said on its IncomingPeering while
 * it is recent, so that a person sees who tries what.
 */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import { toSeconds, type Finding } from '../../shared/conditions.ts';
import type { Clock } from '../../shared/time.ts';
import type { ControllerMetrics, Source } from '../kube/controller.ts';
import { reasons } from './names.ts';

export type RefusedThing =
  /** A pod with fields, or on a security level, that the grant does not give. */
  | 'Pod'
  /** A pod for which no room is left: no trespass, and counted only. */
  | 'Room'
  /** A namespace that is somebody else's, or one too many. */
  | 'Twin'
  /** An endpoint at an address that is none of the consumer's own. */
  | 'Endpoint'
  /** More objects of a kind than a namespace of it may hold: a condition of its own says so. */
  | 'Object'
  /** So many bytes of objects that the right to write more is taken: the same condition says so. */
  | 'Bytes';

/** What is counted here alone: conditions of their own show it. */
const saidElsewhere: ReadonlySet<RefusedThing> = new Set(['Room', 'Object', 'Bytes']);

export interface Refusals {
  /**
   * @param once names the attempt: looked at again, it is not counted again
   * @returns whether it was counted
   */
  note(peering: IncomingPeering, thing: RefusedThing, once: string, message: string): boolean;
  /** The condition WithinGrant, and when to look at it again. */
  finding(peering: IncomingPeering): { finding: Finding; againAfterMilliseconds: number | undefined };
  /** Keys of peerings of which something new is to be said. */
  source: Source;
}

/** How long a refusal is shown after the last one. */
export const recentMilliseconds = 600_000;
/** Whoever is refused all the time makes no status be written all the time. */
const shownMilliseconds = 5_000;
const mostRemembered = 8192;

interface Tally {
  count: number;
  at: number;
  message: string;
  shown: { text: string; at: number } | undefined;
  waking: boolean;
}

/** No refusals yet. */
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
