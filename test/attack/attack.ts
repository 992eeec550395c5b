/** An attack: what it is called, and how it is played. */
import type { AttackBed } from './bed.ts';

export interface Outcome {
  /** What stopped it, which `play` has asserted. */
  stopped: string;
  /** The condition, event, metric or log that shows it, which `play` has read; "the answer" where only the attacker sees it. */
  seenAt: string;
}

export interface Attack {
  name: string;
  /** Throws when anything was not stopped. Leaves the scene as it was. */
  play(bed: AttackBed): Promise<Outcome>;
}
