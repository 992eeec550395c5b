import { z } from 'zod';
import { label, quantity } from './meta.ts';

/** What one incoming peering may use of its provider. */
export const grant = z.object({
  cpu: quantity.describe(
    'CPU that all pods of the peering may use together: the sum of their requests and limits each. Example: 4.',
  ),
  memory: quantity.describe(
    'Memory that all pods of the peering may use together: the sum of their requests and limits each. Example: 8Gi.',
  ),
  pods: z.int().min(1).max(100_000).describe('Number of pods that may exist at the same time. Example: 110.'),
  ephemeralStorage: quantity
    .optional()
    .describe(
      'Ephemeral storage that all pods may use together: the sum of their limits. Default: 1Gi for each container. Example: 50Gi.',
    ),
  podSecurity: z
    .enum(['restricted', 'baseline', 'privileged'])
    .describe(
      'Pod Security Standard that the twin namespaces enforce. The command and the API gateway set baseline when none is asked for.',
    ),
  rawNetwork: z
    .boolean()
    .optional()
    .describe(
      'Containers keep the capability NET_RAW, with which they can forge packets of other pods. Default: it is dropped.',
    ),
  twinNamespaces: z
    .array(label)
    .max(32)
    .optional()
    .describe(
      'Names that twin namespaces may have although they do not end in a dash and the consumer ID. Default: none. Example: ["monitoring"].',
    ),
});
export type Grant = z.infer<typeof grant>;

/** The most that any peering may be granted. */
export const maximumGrant = z.object({
  cpu: quantity.optional().describe('Most CPU of one peering. Default: no limit. Example: 16.'),
  memory: quantity.optional().describe('Most memory of one peering. Default: no limit. Example: 64Gi.'),
  pods: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .describe('Most pods of one peering. Default: no limit. Example: 200.'),
  ephemeralStorage: quantity
    .optional()
    .describe('Most ephemeral storage of one peering. Default: no limit. Example: 100Gi.'),
  podSecurity: grant.shape.podSecurity
    .optional()
    .describe('The most permissive Pod Security Standard that a peering may have. Default: baseline.'),
  rawNetwork: z.boolean().optional().describe('Whether a peering may have rawNetwork. Default: false.'),
  twinNamespaces: z
    .array(label)
    .max(256)
    .optional()
    .describe('Names of twin namespaces that grants may list. Default: none. Example: ["monitoring"].'),
});

/** Granted to a token that asks for nothing. */
export const defaultGrant: Grant = {
  cpu: '4',
  memory: '8Gi',
  pods: 110,
  podSecurity: 'baseline',
};
