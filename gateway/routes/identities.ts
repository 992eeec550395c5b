/** `POST /v1/identities`: a consumer redeems a peering token, or renews the identity of an existing peering. */
import { isUsablePublicKey } from '../../shared/trust/cluster-key.ts';
import type { RemoteCluster } from '../../shared/api/clusters.ts';
import type { IncomingPeering, PeeringToken } from '../../shared/api/peerings.ts';
import { toSeconds } from '../../shared/conditions.ts';
import { Problem } from '../../shared/errors.ts';
import { isConflict } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import { tokenName } from '../../shared/token-issue.ts';
import { hashSecret } from '../../shared/trust/digest.ts';
import { keyInForce } from '../../shared/trust/key-succession.ts';
import { readSignature, SignatureError, type SignatureClaim } from '../../shared/trust/http-signatures.ts';
import {
  identityRequest,
  identityResponse,
  type IdentityRequest,
  type IdentityResponse,
} from '../../shared/wire/gateway-api.ts';
import { self, type Dependencies, type GatewayContext } from '../http/context.ts';
import { issueIdentity } from '../peerings/identities.ts';
import {
  ensureIncomingPeering,
  findPeering,
  noPeering,
  waitForTenant,
} from '../peerings/incoming-peerings.ts';
import { acceptOnce, verifyRequest } from '../http/middleware/authenticate-signature.ts';
import { route, type Route } from '../http/operation.ts';
import { evaluateRedemption } from '../peerings/redemption.ts';
import { refusal } from '../peerings/refusal.ts';
import { ensureRemoteCluster, verifyDocument } from '../peerings/remote-clusters.ts';
import { deadline } from '../../shared/time.ts';
import { invalidFields } from '../http/validation.ts';

/** The tenant controller also writes to tokens, so a conflict does not imply another redemption. */
const SPEND_ATTEMPTS = 6;

export function identityRoute(dependencies: Dependencies): Route {
  return route(
    {
      id: 'createIdentity',
      method: 'POST',
      path: '/v1/identities',
      summary: 'Redeem a peering token, or renew an identity; signed by the cluster key that the body names',
      authentication: { by: 'OwnSignature' },
      body: { schema: identityRequest },
      responses: [
        {
          status: 201,
          description: 'An identity, and this cluster’s network document if it exists',
          schema: identityResponse,
        },
      ],
      problems: [
        'invalid-field',
        'invalid-document',
        'signature-refused',
        'token-not-redeemable',
        'no-peering',
        'not-ready',
      ],
    },
    async (context, request) => {
      const claim = checkRequest(dependencies, context, request);
      using limited = deadline(
        context.var.signal,
        dependencies.limits.tenantMilliseconds,
        'preparing the tenant namespace',
      );
      const { secret } = request;
      const answer =
        secret === undefined
          ? await renew(dependencies, context, request, claim, limited.signal)
          : await redeem(dependencies, context, request, claim, secret, limited.signal);
      return context.json(answer, 201);
    },
  );
}

/**
 * All checks without the API server. Throws before anything is read or created. The key comes from the body itself, so success
 * proves nothing yet, and no nonce is stored.
 */
function checkRequest(
  dependencies: Dependencies,
  context: GatewayContext,
  request: IdentityRequest,
): SignatureClaim {
  const claim = readSignature(context.req.raw.headers);
  if (claim.clusterID !== request.clusterID)
    throw new SignatureError(
      'Malformed',
      'signature-input',
      'the signature’s keyid is not the clusterID of the body',
    );
  if (!isUsablePublicKey(request.publicKey))
    throw invalidFields([
      { field: 'publicKey', detail: 'is not a valid Ed25519 key', allowed: '32 bytes in base64' },
    ]);
  verifyRequest(dependencies, context, claim, request.publicKey);
  if (request.clusterID === self(dependencies).clusterID)
    throw invalidFields([
      { field: 'clusterID', detail: 'is this cluster’s own ID', allowed: 'the ID of another cluster' },
    ]);
  if (request.networkDocument !== undefined) verifyDocument(dependencies, request.networkDocument, request);
  context.set('caller', request.clusterID);
  return claim;
}

async function redeem(
  dependencies: Dependencies,
  context: GatewayContext,
  request: IdentityRequest,
  claim: SignatureClaim,
  secret: string,
  tenantDeadline: AbortSignal,
): Promise<IdentityResponse> {
  const token = await spend(dependencies, context, request, claim, hashSecret(secret));
  await ensureCaller(dependencies, context, request);
  const incoming = {
    clusterID: request.clusterID,
    peering: request.peering,
    grant: token.spec.grant,
    tokenName: token.metadata.name,
    confirm: async (signal: AbortSignal) => {
      const { namespace } = dependencies;
      const ref = { kind: kind.peeringToken, namespace, name: token.metadata.name };
      const held = await dependencies.kube.get(ref, signal);
      const gone =
        held === undefined || held.metadata.uid !== token.metadata.uid || held.spec.revoked === true;
      if (gone) throw await refusal(dependencies, context, 'Revoked');
    },
  };
  const peering = await ensureIncomingPeering(dependencies, incoming, tenantDeadline);
  // The removal of a former peering may have deleted the RemoteCluster; from now on this peering keeps it.
  const remote = await ensureCaller(dependencies, context, request);
  return finish(dependencies, context, peering, remote, tenantDeadline);
}

/** Spends the token by compare-and-swap, or finds it spent by the same consumer. All other cases give the same refusal. */
async function spend(
  dependencies: Dependencies,
  context: GatewayContext,
  request: IdentityRequest,
  claim: SignatureClaim,
  secretHash: string,
): Promise<PeeringToken> {
  const { kube, namespace, clock } = dependencies;
  const { signal } = context.var;
  for (let attempt = 1; ; attempt++) {
    // Both are always read, so that the amount of work does not reveal the error.
    const [token, remote] = await Promise.all([
      kube.get({ kind: kind.peeringToken, namespace, name: tokenName(secretHash) }, signal),
      kube.get({ kind: kind.remoteCluster, name: request.clusterID }, signal),
    ]);
    const judged = evaluateRedemption(
      token,
      secretHash,
      request,
      remote && keyInForce(remote, request.networkDocument),
      clock(),
    );
    if (judged.verdict === 'Refuse' || token === undefined)
      throw await refusal(dependencies, context, judged.verdict === 'Refuse' ? judged.reason : 'Unknown');
    // The token exists and is the caller's; a request without a token has no effect that a replay could repeat.
    if (attempt === 1) acceptOnce(dependencies, claim);
    if (judged.verdict === 'Again') return token;
    const { clusterID, publicKey, peering } = request;
    const redeemedBy = { clusterID, publicKey, peering, at: toSeconds(clock()) };
    try {
      return await kube.replace(
        { ...token, status: { ...token.status, redeemedBy } },
        { subresource: 'status' },
        signal,
      );
    } catch (error) {
      if (!isConflict(error)) throw error;
      if (attempt >= SPEND_ATTEMPTS)
        throw new Problem('overloaded', 'The object was changed by too many requests at once. Try again.', {
          retryAfterSeconds: 1,
          cause: error,
        });
    }
  }
}

async function renew(
  dependencies: Dependencies,
  context: GatewayContext,
  request: IdentityRequest,
  claim: SignatureClaim,
  tenantDeadline: AbortSignal,
): Promise<IdentityResponse> {
  const { signal } = context.var;
  const { clusterID, peering } = request;
  const [known, found] = await Promise.all([
    dependencies.kube.get({ kind: kind.remoteCluster, name: clusterID }, signal),
    findPeering(dependencies, clusterID, peering, signal),
  ]);
  // The proven key must be the registered one, or one that succeeds it.
  const key = known && keyInForce(known, request.networkDocument);
  if (key !== request.publicKey) throw await refusal(dependencies, context, 'KeyDiffers');
  acceptOnce(dependencies, claim);
  if (found === undefined) throw noPeering(clusterID, peering);
  const remote = await ensureCaller(dependencies, context, request);
  return finish(dependencies, context, found, remote, tenantDeadline);
}

/** Creates or updates the caller's RemoteCluster. Refuses when another cluster has taken the ID in the meantime. */
async function ensureCaller(
  dependencies: Dependencies,
  context: GatewayContext,
  request: IdentityRequest,
): Promise<RemoteCluster> {
  const remote = await ensureRemoteCluster(dependencies, request, request, context.var.signal);
  if (remote === undefined) throw await refusal(dependencies, context, 'KeyDiffers');
  return remote;
}

async function finish(
  dependencies: Dependencies,
  context: GatewayContext,
  peering: IncomingPeering,
  remote: RemoteCluster,
  tenantDeadline: AbortSignal,
): Promise<IdentityResponse> {
  const tenant = await waitForTenant(dependencies, peering, tenantDeadline);
  // The document may have been composed while the tenant was set up.
  const latest = dependencies.remoteClusters.get(remote.metadata.name) ?? remote;
  return issueIdentity(dependencies, tenant, latest, context.var.signal);
}
