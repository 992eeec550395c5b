/** A check of `hawser doctor`, and its findings. */
import type { CheckName } from './catalog.ts';
import type { Facts } from './facts.ts';

export const groups = ['This cluster', 'Control plane', 'Tunnel', 'Offloading'] as const;
export type Group = (typeof groups)[number];

/** `Unknown`: it could not be checked. */
export type Verdict = 'Good' | 'Warning' | 'Bad' | 'Unknown';

export interface Finding {
  group: Group;
  /** Stable name of the check, for programs: `certificate-pin`. */
  check: CheckName;
  /** The peering, node or range that it is about. */
  subject?: string;
  verdict: Verdict;
  /** What was found: a sentence. */
  seen: string;
  /** Why it matters. Absent where the verdict is Good. */
  why?: string;
  /** What a person can do, with the command for it. */
  hint?: string;
  /** Where the check is explained: a file of the repository with an anchor. Absent where the verdict is Good. */
  docs?: string;
}

/** Facts in, findings out; pure. A check that has nothing to examine returns no finding. */
export type Check = (facts: Facts) => Finding[];

/** For sorting: the worst first. */
export const severity: Readonly<Record<Verdict, number>> = { Bad: 0, Warning: 1, Unknown: 2, Good: 3 };
