/** The identity issued by a provider, as stored in a Secret of Hawser's namespace. */
import { z } from 'zod';
import { grant } from '../../shared/api/grant.ts';
import { dateTime, httpsURL, label } from '../../shared/api/meta.ts';
import type { Secret } from '../../shared/kube/types.ts';

/** Key of the Secret `hawser-identity-<peering>`; its content is JSON. */
export const identityFile = 'identity.json';
const identity = z.object({
  apiServerURL: httpsURL,
  caBundle: z.string().max(65_536),
  tlsServerName: z.string().max(253).optional(),
  token: z.string().max(16_384),
  expiresAt: dateTime,
  /** When to request the next one. */
  renewAfter: dateTime,
  tenantNamespace: label,
  /** Whether the API server is reached through the tunnel, and so without a proxy. */
  inBand: z.boolean().optional(),
  grant: grant.optional(),
});
export type StoredIdentity = z.infer<typeof identity>;

/** The Secret's content; undefined when it is not a valid identity. */
export function parseIdentity(secret: Secret | undefined): StoredIdentity | undefined {
  const encoded = secret?.data?.[identityFile];
  if (encoded === undefined) return undefined;
  try {
    return identity.safeParse(JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'))).data;
  } catch {
    return undefined;
  }
}
