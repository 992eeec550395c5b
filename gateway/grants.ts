/** What a token may grant: the schema knows the form of quantities, this knows how much is sensible. Pure. */
import { defaultGrant, type Grant } from '../shared/api/grant.ts';
import type { FieldProblem } from '../shared/errors.ts';
import { compareQuantities } from '../shared/quantities.ts';
import type { TokenRequest } from '../shared/wire/gateway-api.ts';

/** Below is nothing a pod can run in; above is more than Kubernetes' largest supported cluster (5,000 nodes) has. */
const ranges = {
  cpu: { least: '1m', most: '1M' },
  memory: { least: '1Mi', most: '10Pi' },
  ephemeralStorage: { least: '1Mi', most: '100Pi' },
} as const;

/** A request's grant with what it leaves open filled in, and what is wrong with it. */
export function completeGrant(requested: TokenRequest['grant']): { grant: Grant; errors: FieldProblem[] } {
  const given = Object.fromEntries(
    Object.entries(requested ?? {}).filter(([, value]) => value !== undefined),
  );
  const grant: Grant = { ...defaultGrant, ...given };
  const errors = (Object.keys(ranges) as (keyof typeof ranges)[]).flatMap((name) => {
    const { least, most } = ranges[name];
    const quantity = grant[name];
    if (quantity === undefined) return [];
    if (compareQuantities(quantity, least) >= 0 && compareQuantities(quantity, most) <= 0) return [];
    return [{ field: `grant.${name}`, detail: 'is out of range', allowed: `${least} to ${most}` }];
  });
  return { grant, errors };
}
