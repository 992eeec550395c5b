/** The identity that a provider gave, as it lies in a Secret of Hawser's namespace. */
import { z } from 'zod';
import { dateTime, httpsURL, label } from '../../shared/api/meta.ts';
import type { Secret } from '../kube/types.ts';

/** Content of `identity.json` in the Secret `hawser-identity-<peering>`. */
export const identityFile = 'identity.json';
const identity = z.object({
  apiServerURL: httpsURL,
  caBundle: z.string().max(65_536),
  tlsServerName: z.string().max(253).optional(),
  token: z.string().max(16_384),
  expiresAt: dateTime,
  tenantNamespace: label,
});
export type StoredIdentity = z.infer<typeof identity>;

/** What the Secret holds; undefined when it holds no valid identity. */
export function parseIdentity(secret: Secret): StoredIdentity | undefined {
  const encoded = secret.data?.[identityFile];
  if (encoded === undefined) return undefined;
  try {
    return identity.safeParse(JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'))).data;
  } catch {
    return undefined;
  }
}
