/** Every check of `hawser doctor`: what it means, why it matters, what to do. docs/troubleshooting.md is generated from it. */
import { clusterChecks } from './catalog-cluster.ts';
import { peeringChecks } from './catalog-peering.ts';
import type { Group } from './finding.ts';

export interface CheckText {
  group: Group;
  /** What a finding that is not good means. */
  means: string;
  /** What does not work until it is fixed. */
  matters: string;
  /** What a person can do, in order. */
  steps: readonly string[];
}

const catalog = { ...clusterChecks, ...peeringChecks };

export type CheckName = keyof typeof catalog;

export const checkTexts: Readonly<Record<CheckName, CheckText>> = catalog;

/** Where a check is explained, relative to the root of the repository. */
export const docsOf = (check: CheckName): string => `docs/troubleshooting.md#${check}`;
