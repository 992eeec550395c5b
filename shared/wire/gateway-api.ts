import { z } from 'zod';
import { signedDocument } from '../api/clusters.ts';
import { grant } from '../api/grant.ts';
import { peeringState } from '../api/peerings.ts';
import { clusterID, dateTime, hostPort, httpsURL, key32, label, prefix, sha256Hex } from '../api/meta.ts';

/** Bodies of the gateway's HTTP API. Requests are strict: an unknown field is refused by name. */

/** `GET /v1/info` — what anybody may know. */
export const info = z.object({
  clusterID,
  publicKey: key32,
  version: z.string().max(64),
  features: z.array(z.string().max(64)).max(64),
  gateway: signedDocument
    .optional()
    .describe('What the cluster key says of this gateway’s certificate; for who finds another than it knows'),
});
export type Info = z.infer<typeof info>;

/** `POST /v1/tokens` */
export const tokenRequest = z.strictObject({
  expiresInSeconds: z.int().min(60).max(86_400).optional().describe('Default 900'),
  consumer: clusterID.optional().describe('Only this cluster may redeem it'),
  grant: grant.partial().strict().optional(),
});
export type TokenRequest = z.infer<typeof tokenRequest>;

export const tokenResponse = z.object({
  name: z.string(),
  token: z.string().describe('Shown once'),
  expiresAt: dateTime,
  grant,
});
export type TokenResponse = z.infer<typeof tokenResponse>;

export const tokenSummary = z.object({
  name: z.string(),
  expiresAt: dateTime,
  grant,
  consumer: clusterID.optional(),
  redeemedBy: clusterID.optional(),
  state: z.enum(['Redeemable', 'Redeemed', 'Expired', 'Revoked']),
});
export const tokenList = z.object({ items: z.array(tokenSummary) });

/** What a token string holds (shared/trust/token-codec encodes it). */
export const tokenContent = z.strictObject({
  gatewayURL: httpsURL,
  gatewayPin: sha256Hex,
  clusterID,
  keyFingerprint: sha256Hex,
  secret: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  expiresAt: dateTime,
});
export type TokenContent = z.infer<typeof tokenContent>;

/**
 * `POST /v1/identities` — signed by the cluster key (RFC 9421), which is the proof that the consumer holds it. With a
 * secret: redeems a token. Without: renews the identity of a peering that this key has.
 */
export const identityRequest = z.strictObject({
  secret: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .optional(),
  clusterID,
  publicKey: key32,
  peering: label.max(20),
  networkDocument: signedDocument.optional().describe('Saves a round trip: the consumer’s first document'),
  version: z.string().max(64),
  features: z.array(z.string().max(64)).max(64),
});
export type IdentityRequest = z.infer<typeof identityRequest>;

export const identityResponse = z.object({
  clusterID,
  publicKey: key32,
  tenantNamespace: label,
  grant,
  identity: z.object({
    apiServerURL: httpsURL,
    caBundle: z.string().max(65_536),
    tlsServerName: z.string().max(253).optional(),
    token: z.string().max(16_384),
    expiresAt: dateTime,
  }),
  networkDocument: signedDocument.optional().describe('The provider’s, when it has one already'),
  version: z.string().max(64),
  features: z.array(z.string().max(64)).max(64),
});
export type IdentityResponse = z.infer<typeof identityResponse>;

/** `PUT /v1/parameters/self` (consumer's document in) and `GET /v1/parameters/remote` (provider's document out). */
export const parameters = z.strictObject({ networkDocument: signedDocument });
export type Parameters = z.infer<typeof parameters>;

/** `GET /v1/peering` — how the provider sees the caller's own peering. */
export const peeringReport = peeringState.extend({
  at: dateTime.describe('When this was said, by the provider’s clock'),
});
export type PeeringReport = z.infer<typeof peeringReport>;

/** `POST /v1/previews` — what a peering token would give; it stays unspent. The secret alone lets in. */
export const previewRequest = z.strictObject({
  secret: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  clusterID: clusterID.describe('The consumer that asks: a token may be meant for one alone'),
});
export type PreviewRequest = z.infer<typeof previewRequest>;

export const preview = z.object({
  clusterID,
  publicKey: key32,
  expiresAt: dateTime.describe('Of the token'),
  grant,
  podCIDRs: z.array(prefix).max(64),
  externalCIDR: prefix.optional(),
  mtu: z.int().min(576).max(65_535).optional(),
  tunnelAddresses: z.array(hostPort).max(128),
  apiServerURL: httpsURL.optional(),
  version: z.string().max(64),
  features: z.array(z.string().max(64)).max(64),
});
export type Preview = z.infer<typeof preview>;
