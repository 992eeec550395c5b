/** What a check of `hawser doctor` is, and what it says. */
import type { Facts } from './facts.ts';

export const groups = ['This cluster', 'Control plane', 'Tunnel', 'Offloading'] as const;
export type Group = (typeof groups)[number];

/** `Unknown`: it could not be looked at. */
export type Verdict = 'Good' | 'Warning' | 'Bad' | 'Unknown';

export interface Finding {
  group: Group;
  /** Names the check, for programs: `certificate-pin`. */
  check: string;
  /** The peering, node or range that it is about. */
  subject?: string;
  verdict: Verdict;
  /** What was seen: a sentence. */
  seen: string;
  /** Why it matters. Only of what is not good. */
  why?: string;
  /** What a person can do, with the command that does it. */
  hint?: string;
}

/** Facts in, findings out; pure. A check that has nothing to look at says nothing. */
export type Check = (facts: Facts) => Finding[];

/** How bad it is, the worst first. */
export const severity: Readonly<Record<Verdict, number>> = { Bad: 0, Warning: 1, Unknown: 2, Good: 3 };
