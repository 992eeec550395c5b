/** Creates IncomingPeerings, waits until the controller has set them up, and deletes them. */
import { apiVersion } from '../../shared/api/meta.ts';
import type { Grant } from '../../shared/api/grant.ts';
import { incomingPeering, type IncomingPeering } from '../../shared/api/peerings.ts';
import { findCondition, isTrue } from '../../shared/conditions.ts';
import { Problem } from '../../shared/errors.ts';
import { isConflict } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import { labels, peeringName } from '../../shared/names.ts';
import type { Dependencies } from '../http/context.ts';

const ATTEMPTS = 5;

export interface PeeringRequest {
  clusterID: string;
  peering: string;
  grant: Grant;
  tokenName: string;
  /** Throws when the token no longer exists; called right before a peering is created from it. */
  confirm: (signal: AbortSignal) => Promise<void>;
}

/** The inputs of an identity. */
export interface Tenant {
  namespace: string;
  identitySecretName: string;
  grant: Grant;
}

/**
 * Creates the IncomingPeering, or updates the existing one with the grant of the redeemed token. Waits until a former one of
 * that name is deleted.
 */
export async function ensureIncomingPeering(
  dependencies: Dependencies,
  request: PeeringRequest,
  signal: AbortSignal,
): Promise<IncomingPeering> {
  const { kube } = dependencies;
  const name = peeringName(request.clusterID, request.peering);
  for (let attempt = 1; ; attempt++) {
    try {
      const found = await kube.get({ kind: kind.incomingPeering, name }, signal);
      if (found === undefined) {
        // If the peering was revoked while its consumer waited, its token was deleted too, and it must not be recreated.
        await request.confirm(signal);
        return await kube.create(newIncomingPeering(name, request), signal);
      }
      if (found.metadata.deletionTimestamp !== undefined) {
        await waitUntilGone(dependencies, name, found.metadata.uid, signal);
      } else if (found.spec.tokenName === request.tokenName) {
        return found;
      } else {
        const spec = { ...found.spec, grant: request.grant, tokenName: request.tokenName };
        return await kube.replace({ ...found, spec }, {}, signal);
      }
    } catch (error) {
      if (!isConflict(error) || attempt >= ATTEMPTS) throw error;
    }
  }
}

function newIncomingPeering(name: string, request: PeeringRequest): IncomingPeering {
  return {
    apiVersion,
    kind: incomingPeering.kind,
    metadata: {
      name,
      labels: {
        [labels.managedBy]: 'hawser-gateway',
        [labels.remoteCluster]: request.clusterID,
        [labels.peering]: name,
      },
    },
    spec: {
      remoteCluster: request.clusterID,
      peering: request.peering,
      grant: request.grant,
      desired: 'Active',
      tokenName: request.tokenName,
    },
  };
}

async function waitUntilGone(
  { incomingPeerings }: Dependencies,
  name: string,
  uid: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  try {
    await incomingPeerings.waitFor(
      name,
      (object) => (object === undefined || object.metadata.uid !== uid ? true : undefined),
      signal,
    );
  } catch (error) {
    throw notReady(
      `The provider is still removing an earlier peering ${name}. Try again; the token stays reserved for this cluster.`,
      error,
    );
  }
}

/**
 * Waits until the controller has set up the tenant of `peering` in this generation or a later one, since the cache may be older.
 * Throws a Problem that names what was waited for.
 */
export async function waitForTenant(
  { incomingPeerings }: Dependencies,
  peering: IncomingPeering,
  signal: AbortSignal,
): Promise<Tenant> {
  const { name, uid, generation = 0 } = peering.metadata;
  let seen: IncomingPeering | undefined;
  try {
    return await incomingPeerings.waitFor(
      name,
      (object) => {
        if (object?.metadata.uid !== uid || (object?.metadata.generation ?? 0) < generation) return undefined;
        seen = object;
        return object === undefined ? undefined : tenantOf(object);
      },
      signal,
    );
  } catch (error) {
    const condition = findCondition(seen?.status?.conditions, 'TenantReady');
    const reason =
      condition === undefined ? 'the provider’s controller has not processed it yet' : condition.message;
    throw notReady(
      `The tenant of ${name} is not ready yet: ${reason}. Try again with the same key and token; the token stays reserved for this cluster until it expires.`,
      error,
    );
  }
}

/** The tenant of a peering that is ready and not being removed. */
export function tenantOf(peering: IncomingPeering): Tenant | undefined {
  const { conditions, identitySecretName, tenantNamespace, observedGeneration } = peering.status ?? {};
  if (
    peering.metadata.deletionTimestamp !== undefined ||
    tenantNamespace === undefined ||
    identitySecretName === undefined ||
    !isTrue(conditions, 'TenantReady') ||
    // A changed grant takes effect once the controller has observed it.
    (observedGeneration ?? 0) < (peering.metadata.generation ?? 0)
  )
    return undefined;
  return { namespace: tenantNamespace, identitySecretName, grant: peering.spec.grant };
}

/** The peering of that name if `clusterID` has one that isn't being removed. */
export async function findPeering(
  { kube }: Dependencies,
  clusterID: string,
  peering: string,
  signal: AbortSignal,
): Promise<IncomingPeering | undefined> {
  const ref = { kind: kind.incomingPeering, name: peeringName(clusterID, peering) };
  const found = await kube.get(ref, signal);
  return found?.spec.remoteCluster === clusterID && found.metadata.deletionTimestamp === undefined
    ? found
    : undefined;
}

export function noPeering(clusterID: string, peering: string): Problem {
  return new Problem(
    'no-peering',
    `This cluster has no incoming peering ${peering} of ${clusterID}: it was never created, or it was ended here. Peer again with a new peering token.`,
    { errors: [{ field: 'peering', detail: 'is unknown' }] },
  );
}

function notReady(detail: string, cause: unknown): Problem {
  return new Problem('not-ready', detail, { retryAfterSeconds: 2, cause });
}
