import { z } from 'zod';
import { signedDocument } from '../api/clusters.ts';
import { grant } from '../api/grant.ts';
import { peeringState } from '../api/peerings.ts';
import {
  apiServerURL,
  clusterID,
  dateTime,
  hostPort,
  httpsURL,
  key32,
  label,
  prefix,
  sha256Hex,
} from '../api/meta.ts';

/** Bodies of the API gateway's HTTP API. Requests are strict: an unknown field is refused by name. */

const cluster = clusterID.describe('ID of the cluster that answers.');
const clusterKey = key32.describe('Its Ed25519 cluster key, base64 of 32 bytes.');
const hawserVersion = z.string().max(64).describe('Version of Hawser that runs there. Example: 0.1.0.');
const features = z.array(z.string().max(64)).max(64).describe('Optional features that it understands.');
const secret = z
  .string()
  .regex(/^[A-Za-z0-9_-]{43}$/)
  .describe('Secret of the peering token, base64url of 32 bytes.');
const tokenName = z.string().describe('Name of the PeeringToken. Example: token-5b1d0c7e.');
const tokenExpiry = dateTime.describe('Time from which the token cannot be redeemed.');
const granted = grant.describe('What the peering may use of the provider.');

/** `GET /v1/info` — public information. */
export const info = z.object({
  clusterID: cluster,
  publicKey: clusterKey,
  version: hawserVersion,
  features,
  gateway: signedDocument
    .optional()
    .describe(
      'Pin of the API gateway’s certificate, signed by the cluster key, for clients that know an earlier certificate.',
    ),
});
export type Info = z.infer<typeof info>;

/** `POST /v1/tokens` */
export const tokenRequest = z.strictObject({
  expiresInSeconds: z
    .int()
    .min(60)
    .max(86_400)
    .optional()
    .describe('Seconds until the token expires. Default: 900.'),
  consumer: clusterID
    .optional()
    .describe('ID of the only cluster that may redeem the token. Default: any cluster.'),
  grant: grant
    .partial()
    .strict()
    .optional()
    .describe('What the peering may use of the provider; a field that is left out has its default.'),
});
export type TokenRequest = z.infer<typeof tokenRequest>;

export const tokenResponse = z.object({
  name: tokenName,
  token: z.string().describe('The peering token. It is shown once and stored nowhere.'),
  expiresAt: tokenExpiry,
  grant: granted,
});
export type TokenResponse = z.infer<typeof tokenResponse>;

export const tokenSummary = z.object({
  name: tokenName,
  expiresAt: tokenExpiry,
  grant: granted,
  consumer: clusterID.optional().describe('ID of the only cluster that may redeem the token.'),
  redeemedBy: clusterID.optional().describe('ID of the cluster that redeemed the token.'),
  state: z
    .enum(['Redeemable', 'Redeemed', 'Expired', 'Revoked'])
    .describe('Whether the token can be redeemed, or why it cannot.'),
});
export const tokenList = z.object({
  items: z.array(tokenSummary).describe('Tokens of this cluster, without their secrets.'),
});

/** The content of a token string (encoded by shared/trust/token-codec). */
export const tokenContent = z.strictObject({
  gatewayURL: httpsURL.describe('URL of the provider’s API gateway.'),
  gatewayPin: sha256Hex.describe('SHA-256 of the SubjectPublicKeyInfo of its certificate.'),
  clusterID: clusterID.describe('ID of the provider.'),
  keyFingerprint: sha256Hex.describe('SHA-256 of the provider’s Ed25519 cluster key.'),
  secret,
  expiresAt: tokenExpiry,
});
export type TokenContent = z.infer<typeof tokenContent>;

/**
 * `POST /v1/identities` — signed by the cluster key (RFC 9421), which proves that the consumer holds it. With a secret it
 * redeems a token; without one it renews the identity of this key's peering.
 */
export const identityRequest = z.strictObject({
  secret: secret
    .optional()
    .describe('Secret of the peering token to redeem. Without it, an identity is renewed.'),
  clusterID: clusterID.describe('ID of the consumer.'),
  publicKey: key32.describe('Ed25519 cluster key of the consumer, base64 of 32 bytes.'),
  peering: label.max(20).describe('Name of the peering. Example: default.'),
  networkDocument: signedDocument
    .optional()
    .describe('First network document of the consumer, which saves a round trip.'),
  version: hawserVersion,
  features,
});
export type IdentityRequest = z.infer<typeof identityRequest>;

export const identityResponse = z.object({
  clusterID: cluster,
  publicKey: clusterKey,
  tenantNamespace: label.describe('Namespace at the provider that holds the objects of this peering.'),
  grant: granted,
  identity: z
    .object({
      apiServerURL: apiServerURL.describe('URL of the provider’s API server.'),
      caBundle: z.string().max(65_536).describe('Certificates, in PEM, that sign the API server’s own.'),
      tlsServerName: z
        .string()
        .max(253)
        .optional()
        .describe('Name to verify in the API server’s certificate. Default: the host of the URL.'),
      token: z.string().max(16_384).describe('Bearer token of the consumer’s service account.'),
      expiresAt: dateTime.describe('Time at which the bearer token expires.'),
    })
    .describe('Identity by which the consumer speaks to the provider’s API server.'),
  networkDocument: signedDocument
    .optional()
    .describe('Network document of the provider. Absent while it has none.'),
  version: hawserVersion,
  features,
});
export type IdentityResponse = z.infer<typeof identityResponse>;

/** `PUT /v1/parameters/self` (consumer's document in) and `GET /v1/parameters/remote` (provider's document out). */
export const parameters = z.strictObject({
  networkDocument: signedDocument.describe('Network document of the sender, signed by its cluster key.'),
});
export type Parameters = z.infer<typeof parameters>;

/** `GET /v1/peering` — how the provider sees the caller's own peering. */
export const peeringReport = peeringState.extend({
  at: dateTime.describe('Time of the report, by the provider’s clock.'),
});
export type PeeringReport = z.infer<typeof peeringReport>;

/**
 * `POST /v1/previews` — the result that redeeming a peering token would have; it is not redeemed. Only the secret authorizes
 * the caller.
 */
export const previewRequest = z.strictObject({
  secret,
  clusterID: clusterID.describe('ID of the consumer that asks, since a token may be for one consumer only.'),
});
export type PreviewRequest = z.infer<typeof previewRequest>;

export const preview = z.object({
  clusterID: cluster,
  publicKey: clusterKey,
  expiresAt: tokenExpiry,
  grant: granted,
  podCIDRs: z.array(prefix).max(64).describe('Pod ranges of the provider.'),
  externalCIDR: prefix.optional().describe('External CIDR of the provider.'),
  mtu: z.int().min(576).max(65_535).optional().describe('MTU of packets inside the tunnel, in bytes.'),
  tunnelAddresses: z.array(hostPort).max(128).describe('Addresses of the provider’s tunnel endpoints.'),
  apiServerURL: apiServerURL.optional().describe('URL of the provider’s API server.'),
  version: hawserVersion,
  features,
});
export type Preview = z.infer<typeof preview>;
