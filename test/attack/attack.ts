/** An attack: its name, and how it is run. */
import type { AttackBed } from './bed.ts';

export interface Outcome {
  /** What stopped it, as asserted by `play`. */
  stopped: string;
  /** The condition, event, metric or log that reports it, as read by `play`; "the answer" if only the attacker sees it. */
  seenAt: string;
}

export interface Attack {
  name: string;
  /** Throws if any part was not stopped. Restores the scene. */
  play(bed: AttackBed): Promise<Outcome>;
}
