/** `/v1/tokens`: an administrator of this cluster issues, lists and revokes peering tokens. */
import type { z } from 'zod';
import { apiVersion, objectName } from '../../shared/api/meta.ts';
import { peeringToken, type PeeringToken } from '../../shared/api/peerings.ts';
import { Problem } from '../../shared/errors.ts';
import { labels } from '../../shared/names.ts';
import { toSeconds } from '../../shared/conditions.ts';
import { keyFingerprint } from '../../shared/trust/cluster-key.ts';
import { hashSecret } from '../../shared/trust/digest.ts';
import { toBase64URL } from '../../shared/trust/encoding.ts';
import { encodePeeringToken } from '../../shared/trust/peering-token.ts';
import {
  tokenList,
  tokenRequest,
  tokenResponse,
  type tokenSummary,
  type TokenRequest,
  type TokenResponse,
} from '../../shared/wire/gateway-api.ts';
import { self, type Dependencies, type KubernetesUser } from '../context.ts';
import { completeGrant } from '../grants.ts';
import { isConflict } from '../kube/client.ts';
import { resources } from '../kube/resources.ts';
import { route, type Route } from '../operation.ts';
import { tokenName, tokenState } from '../redemption.ts';
import { invalidFields } from '../validation.ts';

const DEFAULT_SECONDS = 15 * 60;
const SECRET_BYTES = 32;
const REVOKE_ATTEMPTS = 5;

export function tokenRoutes(dependencies: Dependencies): Route[] {
  return [createRoute(dependencies), listRoute(dependencies), revokeRoute(dependencies)];
}

function createRoute(dependencies: Dependencies): Route {
  return route(
    {
      id: 'createToken',
      method: 'POST',
      path: '/v1/tokens',
      summary: 'Issue a peering token; it is shown once',
      authentication: { by: 'Kubernetes', permission: 'create' },
      body: { schema: tokenRequest, optional: true },
      responses: [
        { status: 201, description: 'The token, to be handed to the consumer', schema: tokenResponse },
      ],
      problems: ['invalid-field', 'unauthenticated', 'forbidden', 'not-ready'],
    },
    async (context, request) => {
      const issued = await issueToken(dependencies, request, context.var.user, context.var.signal);
      return context.json(issued, 201);
    },
  );
}

async function issueToken(
  dependencies: Dependencies,
  request: TokenRequest,
  user: KubernetesUser,
  signal: AbortSignal,
): Promise<TokenResponse> {
  const { kube, namespace, clock, random } = dependencies;
  const { clusterID, publicKey, object } = self(dependencies);
  const { gatewayURL, gatewayPin } = object.status ?? {};
  if (gatewayURL === undefined || gatewayPin === undefined)
    throw new Problem(
      'not-ready',
      'The address of this gateway is not known yet: its Service has no address, or LocalCluster self has no spec.gatewayURL.',
      { retryAfterSeconds: 5 },
    );
  const { grant, errors } = completeGrant(request.grant);
  if (request.consumer === clusterID)
    errors.push({
      field: 'consumer',
      detail: 'is this cluster itself',
      allowed: 'the ID of another cluster',
    });
  if (errors.length > 0) throw invalidFields(errors);
  const secret = toBase64URL(random(SECRET_BYTES));
  const secretHash = hashSecret(secret);
  const expiresAt = toSeconds(clock() + (request.expiresInSeconds ?? DEFAULT_SECONDS) * 1000);
  const object_: PeeringToken = {
    apiVersion,
    kind: peeringToken.kind,
    metadata: {
      name: tokenName(secretHash),
      namespace,
      labels: { [labels.managedBy]: 'hawser-gateway' },
    },
    spec: {
      secretHash,
      expiresAt,
      grant,
      issuedBy: user.username.slice(0, 512),
      ...(request.consumer !== undefined && { expectedCluster: request.consumer }),
    },
  };
  await kube.create(resources.peeringTokens(namespace), object_, signal);
  const token = encodePeeringToken({
    gatewayURL,
    gatewayPin,
    clusterID,
    keyFingerprint: keyFingerprint(publicKey),
    secret,
    expiresAt,
  });
  return { name: object_.metadata.name, token, expiresAt, grant };
}

function listRoute({ kube, namespace, limits, clock }: Dependencies): Route {
  return route(
    {
      id: 'listTokens',
      method: 'GET',
      path: '/v1/tokens',
      summary: 'Peering tokens that were issued, without their secrets',
      authentication: { by: 'Kubernetes', permission: 'list' },
      responses: [{ status: 200, description: 'Tokens, the newest first', schema: tokenList }],
      problems: ['unauthenticated', 'forbidden'],
    },
    async (context) => {
      const { items } = await kube.list<PeeringToken>(
        resources.peeringTokens(namespace),
        context.var.signal,
        { limit: String(limits.listedTokens) },
      );
      const newestFirst = items.toSorted((a, b) =>
        (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''),
      );
      return context.json({ items: newestFirst.map((token) => summarize(token, clock())) });
    },
  );
}

function summarize(token: PeeringToken, now: number): z.infer<typeof tokenSummary> {
  const { expectedCluster, expiresAt, grant } = token.spec;
  const redeemedBy = token.status?.redeemedBy?.clusterID;
  return {
    name: token.metadata.name,
    expiresAt,
    grant,
    ...(expectedCluster !== undefined && { consumer: expectedCluster }),
    ...(redeemedBy !== undefined && { redeemedBy }),
    state: tokenState(token, now),
  };
}

function revokeRoute(dependencies: Dependencies): Route {
  return route(
    {
      id: 'revokeToken',
      method: 'DELETE',
      path: '/v1/tokens/{name}',
      summary: 'Revoke a peering token; a peering that was made with it stays',
      authentication: { by: 'Kubernetes', permission: 'delete' },
      parameters: [{ name: 'name', in: 'path', description: 'As the list shows it', schema: objectName }],
      responses: [{ status: 204, description: 'It can not be redeemed any more' }],
      problems: ['unauthenticated', 'forbidden', 'not-found'],
    },
    async (context) => {
      await revokeToken(dependencies, context.req.param('name') ?? '', context.var.signal);
      return context.body(null, 204);
    },
  );
}

async function revokeToken(
  { kube, namespace }: Dependencies,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  if (!objectName.safeParse(name).success)
    throw invalidFields([
      { field: 'name', detail: 'is no name of a token', allowed: 'a name that the list shows' },
    ]);
  for (let attempt = 1; ; attempt++) {
    const token = await kube.get<PeeringToken>(resources.peeringTokens(namespace), name, signal);
    if (token === undefined) throw new Problem('not-found', `There is no peering token ${name}.`);
    if (token.spec.revoked === true) return;
    try {
      await kube.replace(
        resources.peeringTokens(namespace),
        { ...token, spec: { ...token.spec, revoked: true } },
        signal,
      );
      return;
    } catch (error) {
      // Its status was written at the same time.
      if (!isConflict(error) || attempt >= REVOKE_ATTEMPTS) throw error;
    }
  }
}
