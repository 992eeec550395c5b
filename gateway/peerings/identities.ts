/** The identity issued to a consumer: the API server's address and CA, and a token for an hour. */
import type { IdentityResponse } from '../../shared/wire/gateway-api.ts';
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import { Problem } from '../../shared/errors.ts';
import { isConflict, isForbidden, isNotFound } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import { tenantServiceAccount } from '../../shared/names.ts';
import { inBandURLs } from '../../shared/net/in-band.ts';
import { self, type Dependencies } from '../http/context.ts';
import type { Tenant } from './incoming-peerings.ts';
import { features, version } from '../version.ts';

const LIFE_SECONDS = 3600;
/** A name in every API server's certificate, independent of its external address. */
const API_SERVER_NAME = 'kubernetes.default.svc';

interface KubernetesTokenRequest {
  apiVersion: string;
  kind: string;
  spec: unknown;
  status?: { token?: string; expirationTimestamp?: string };
}

/** Issues a token bound to the tenant's identity Secret, with the API server's address and CA. */
export async function issueIdentity(
  dependencies: Dependencies,
  tenant: Tenant,
  remote: RemoteCluster,
  signal: AbortSignal,
): Promise<IdentityResponse> {
  const { clusterID, publicKey, object } = self(dependencies);
  const inBand = remote.spec.servesInBand === true;
  const { externalCIDR } = object.status ?? {};
  // Addresses as this cluster knows them; the consumer translates them.
  const inside = externalCIDR === undefined ? undefined : inBandURLs(externalCIDR)?.apiServer;
  const apiServerURL = inBand ? inside : object.status?.apiServerURL;
  if (apiServerURL === undefined)
    throw new Problem(
      'not-ready',
      'The external address of the provider’s API server is not known yet (LocalCluster self, spec.apiServerURL).',
      { retryAfterSeconds: 5 },
    );
  const [authority, minted] = await Promise.all([
    findAuthority(dependencies, inBand ? undefined : object.spec.apiServerCABundle),
    mintToken(dependencies, tenant, signal),
  ]);
  const { localDocument } = remote.status ?? {};
  return {
    clusterID,
    publicKey,
    tenantNamespace: tenant.namespace,
    grant: tenant.grant,
    identity: { apiServerURL, ...authority, ...minted },
    ...(localDocument !== undefined && { networkDocument: localDocument }),
    version,
    features: [...features],
  };
}

/** The CA that verifies the API server: from LocalCluster, or else the one that every pod of this cluster has. */
async function findAuthority(
  { rootAuthority }: Dependencies,
  configured: string | undefined,
): Promise<{ caBundle: string; tlsServerName?: string }> {
  if (configured !== undefined) return { caBundle: configured };
  return { caBundle: await rootAuthority(), tlsServerName: API_SERVER_NAME };
}

async function mintToken(
  { kube }: Dependencies,
  tenant: Tenant,
  signal: AbortSignal,
): Promise<{ token: string; expiresAt: string }> {
  const request: KubernetesTokenRequest = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {
      expirationSeconds: LIFE_SECONDS,
      // Without a UID the API server binds it to the current Secret, so the gateway needs no right to read Secrets.
      boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: tenant.identitySecretName },
    },
  };
  try {
    const { status } = await kube.createSubresource<KubernetesTokenRequest>(
      { kind: kind.serviceAccount, namespace: tenant.namespace, name: tenantServiceAccount },
      'token',
      request,
      signal,
    );
    if (status?.token === undefined || status.expirationTimestamp === undefined)
      throw new Problem('api-server', 'The API server of the provider issued no token. Try again.');
    return { token: status.token, expiresAt: status.expirationTimestamp };
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error) && !isForbidden(error)) throw error;
    throw new Problem(
      'not-ready',
      `The provider is recreating the service account ${tenantServiceAccount} or its Secret in ${tenant.namespace}. Try again.`,
      { retryAfterSeconds: 2, cause: error },
    );
  }
}
