import { z } from 'zod';
import { tunnelEndpoint } from '../api/clusters.ts';
import { grant } from '../api/grant.ts';
import { clusterID, key32, label, prefix, sha256Hex } from '../api/meta.ts';
import { desired } from '../api/peerings.ts';

/** Features in `requires` that this version understands; a document that requires another is refused as incompatible. */
export const understood: readonly string[] = [];

/**
 * A cluster's declaration of its network to one remote. Complete, signed by the cluster key, with a generation that only grows:
 * the highest valid one wins, whichever way it arrived. Unknown fields are kept when it is passed on.
 */
export const networkDocument = z.looseObject({
  version: z.literal(1).describe('Version of this form.'),
  clusterID: clusterID.describe('ID of the cluster that declares it.'),
  publicKey: key32
    .optional()
    .describe('Cluster key that signs the document. The same content under another key is another document.'),
  recipient: clusterID.describe('ID of the remote that it is for. Every other cluster refuses it.'),
  generation: z
    .int()
    .min(1)
    .max(Number.MAX_SAFE_INTEGER)
    .describe('Grows with every change; the valid document with the highest generation holds.'),
  contentGeneration: z
    .int()
    .min(1)
    .max(Number.MAX_SAFE_INTEGER)
    .optional()
    .describe('Generation since which everything but `acknowledges` is the same. Default: this generation.'),
  requires: z
    .array(z.string().max(64))
    .max(16)
    .describe('Features that the recipient has to understand; it refuses a document that requires another.'),
  podCIDRs: z.array(prefix).min(1).max(16).describe('Ranges of the sender’s pods.'),
  externalCIDR: prefix.describe('External CIDR of the sender.'),
  serviceCIDRs: z
    .array(prefix)
    .max(16)
    .optional()
    .describe(
      'Ranges of the sender’s Services. They are not reached through the tunnel; the recipient refuses packets of the sender’s pods to them instead of letting them out.',
    ),
  mtu: z
    .int()
    .min(576)
    .max(65_535)
    .describe('MTU inside the tunnel, in bytes, that the sender’s path permits.'),
  tunnelEndpoints: z.array(tunnelEndpoint).max(16).describe('Tunnel endpoints of the sender.'),
  remaps: z
    .array(
      z.object({
        real: prefix.describe('Range as the recipient knows it.'),
        mapped: prefix.describe('Range as the sender knows it, of the same size.'),
      }),
    )
    .max(64)
    .describe('Ranges of the recipient as the sender knows them.'),
  salt: z
    .string()
    .regex(/^[A-Za-z0-9+/]{43}=$/)
    .describe('32 bytes, base64. The salts of both sides derive the pre-shared key.'),
  apiServer: z
    .object({
      url: z.string().max(300).describe('URL of the API server.'),
      caBundle: z.string().max(65_536).describe('Certificates, in PEM, that sign its own.'),
      tlsServerName: z
        .string()
        .max(253)
        .optional()
        .describe('Name to verify in its certificate. Default: the host of the URL.'),
    })
    .optional()
    .describe('API server of the sender, when it is a provider.'),
  gateway: z
    .object({
      url: z.string().max(300).describe('URL of the API gateway.'),
      pin: sha256Hex.describe('SHA-256 of the SubjectPublicKeyInfo of its certificate.'),
    })
    .optional()
    .describe('API gateway of the sender, when it is a provider.'),
  grants: z
    .array(
      z.object({
        peering: label.max(20).describe('Name of the peering.'),
        grant: grant.describe('What the peering may use.'),
        desired: desired
          .optional()
          .describe('State that the provider wants of the peering. Default: Active.'),
      }),
    )
    .max(64)
    .optional()
    .describe('Each peering of the recipient with what it may use, when the sender is a provider.'),
  acknowledges: z
    .int()
    .min(0)
    .describe('Highest generation of the recipient’s document that the sender holds.'),
});
export type NetworkDocument = z.infer<typeof networkDocument>;

/** The generation since which a document's content is unchanged. */
export function contentGeneration(document: NetworkDocument): number {
  const stated = document.contentGeneration ?? document.generation;
  return Math.min(stated, document.generation);
}
