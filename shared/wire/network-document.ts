import { z } from 'zod';
import { tunnelEndpoint } from '../api/clusters.ts';
import { grant } from '../api/grant.ts';
import { clusterID, key32, label, prefix, sha256Hex } from '../api/meta.ts';
import { desired } from '../api/peerings.ts';

/** Words of `requires` that this version understands; a document that requires another is refused as incompatible. */
export const understood: readonly string[] = [];

/**
 * What a cluster declares of its network to one remote. Whole, signed by the cluster key, with a generation that only
 * grows: the highest valid one wins, whichever way it came. Unknown fields are kept when it is passed on.
 */
export const networkDocument = z.looseObject({
  version: z.literal(1),
  clusterID,
  publicKey: key32
    .optional()
    .describe('Cluster key that signs it: with another key, a document is another one'),
  recipient: clusterID.describe('Whom it is for: a document for one remote is no document for another'),
  generation: z.int().min(1).max(Number.MAX_SAFE_INTEGER),
  contentGeneration: z
    .int()
    .min(1)
    .max(Number.MAX_SAFE_INTEGER)
    .optional()
    .describe('Since which generation all but `acknowledges` is the same; absent: this one'),
  requires: z.array(z.string().max(64)).max(16),
  podCIDRs: z.array(prefix).min(1).max(16),
  externalCIDR: prefix,
  mtu: z.int().min(576).max(65_535).describe('Inner packets that the sender’s path takes'),
  tunnelEndpoints: z.array(tunnelEndpoint).max(16),
  remaps: z
    .array(z.object({ real: prefix, mapped: prefix }))
    .max(64)
    .describe('The recipient’s ranges as the sender knows them'),
  salt: z
    .string()
    .regex(/^[A-Za-z0-9+/]{43}=$/)
    .describe('32 bytes, base64; both sides’ salts derive the pre-shared key'),
  apiServer: z
    .object({
      url: z.string().max(300),
      caBundle: z.string().max(65_536),
      tlsServerName: z.string().max(253).optional(),
    })
    .optional()
    .describe('Provider: where its API server is now'),
  gateway: z
    .object({ url: z.string().max(300), pin: sha256Hex })
    .optional()
    .describe('Provider: where its gateway is now, and the pin of the certificate that it shows'),
  grants: z
    .array(
      z.object({
        peering: label.max(20),
        grant,
        desired: desired.optional().describe('Absent: Active'),
      }),
    )
    .max(64)
    .optional()
    .describe(
      'Provider: what each of the recipient’s peerings may use now, and whether pods may come or have to leave',
    ),
  acknowledges: z.int().min(0).describe('Highest generation of the recipient that the sender holds'),
});
export type NetworkDocument = z.infer<typeof networkDocument>;

/** The generation since which a document's content is the same. */
export function contentGeneration(document: NetworkDocument): number {
  const stated = document.contentGeneration ?? document.generation;
  return Math.min(stated, document.generation);
}
