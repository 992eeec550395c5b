import { z } from 'zod';
import { quantity } from './meta.ts';

/** What one incoming peering may use of its provider. */
export const grant = z.object({
  cpu: quantity.describe('Sum of CPU requests and limits'),
  memory: quantity.describe('Sum of memory requests and limits'),
  pods: z.int().min(1).max(100_000),
  ephemeralStorage: quantity.optional(),
  storageClasses: z.array(z.string().min(1).max(253)).max(32).optional(),
  podSecurity: z
    .enum(['restricted', 'baseline', 'privileged'])
    .describe('Pod Security Standard that is enforced on the twins'),
});
export type Grant = z.infer<typeof grant>;

/** Granted to a token that asks for nothing. */
export const defaultGrant: Grant = {
  cpu: '4',
  memory: '8Gi',
  pods: 110,
  storageClasses: [],
  podSecurity: 'baseline',
};
