/**
 * The maximum that any peering of this cluster may be granted (LocalCluster `spec.maximumGrant`): a right to issue tokens does
 * not include control of the nodes. An admission policy enforces it too; this reports it earlier, by field. Pure.
 */
import type { Grant } from './api/grant.ts';
import type { FieldProblem } from './errors.ts';
import { compareQuantities } from './quantities.ts';

export type MaximumGrant = { [Field in keyof Grant]?: Grant[Field] | undefined };

const levels = ['restricted', 'baseline', 'privileged'] as const;
/** From the least strict to the strictest. */
const modes = ['None', 'Soft', 'Hard'] as const;

/**
 * The fields of a grant that exceed the maximum. Fields that the maximum omits are unbounded, except those that affect more
 * than pods: the level privileged, raw networks, other names and an uncounted grant must be allowed explicitly.
 */
export function beyondMaximum(grant: Grant, maximum: MaximumGrant = {}): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const refuse = (field: keyof Grant, allowed: string) =>
    problems.push({
      field: `grant.${field}`,
      detail: 'is more than this cluster grants (LocalCluster self, spec.maximumGrant)',
      allowed,
    });
  for (const field of ['cpu', 'memory', 'ephemeralStorage'] as const) {
    const most = maximum[field];
    const granted = grant[field];
    if (most !== undefined && granted !== undefined && compareQuantities(granted, most) > 0)
      refuse(field, `at most ${most}`);
  }
  const most = maximum.extendedResources;
  const beyond = grant.extendedResources?.find(
    ({ name, quantity }) =>
      most !== undefined &&
      !most.some((each) => each.name === name && compareQuantities(quantity, each.quantity) <= 0),
  );
  if (beyond !== undefined)
    refuse(
      'extendedResources',
      most === undefined || most.length === 0
        ? 'none'
        : most.map(({ name, quantity }) => `at most ${quantity} of ${name}`).join(', '),
    );
  const mode = maximum.enforcement ?? 'Soft';
  if (modes.indexOf(grant.enforcement ?? 'Soft') < modes.indexOf(mode))
    refuse('enforcement', mode === 'Hard' ? 'Hard' : 'Soft or Hard');
  if (maximum.pods !== undefined && grant.pods > maximum.pods) refuse('pods', `at most ${maximum.pods}`);
  const level = maximum.podSecurity ?? 'baseline';
  if (levels.indexOf(grant.podSecurity) > levels.indexOf(level)) refuse('podSecurity', `at most ${level}`);
  if (grant.rawNetwork === true && maximum.rawNetwork !== true) refuse('rawNetwork', 'false');
  const names = maximum.twinNamespaces ?? [];
  if (grant.twinNamespaces?.some((name) => !names.includes(name)) === true)
    refuse('twinNamespaces', names.length === 0 ? 'none' : names.join(', '));
  return problems;
}
