/** The identity that a provider issued, as it is stored in a Secret of Hawser's namespace. */
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
  /** When to ask for the next one. */
  renewAfter: dateTime,
  tenantNamespace: label,
  /** The API server lies in the tunnel: no proxy leads there. */
  inBand: z.boolean().optional(),
  grant: grant.optional(),
});
export type StoredIdentity = z.infer<typeof identity>;

/** What the Secret holds; undefined when it holds no valid identity. */
export function parseIdentity(secret: Secret | undefined): StoredIdentity | undefined {
  const encoded = secret?.data?.[identityFile];
  if (encoded === undefined) return undefined;
  try {
    return identity.safeParse(JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'))).data;
  } catch {
    return undefined;
  }
}
