/** `/v1/tokens`: an administrator of this cluster issues, lists and revokes peering tokens. */
import type { z } from 'zod';
import { objectName } from '../../shared/api/meta.ts';
import type { PeeringToken } from '../../shared/api/peerings.ts';
import { Problem } from '../../shared/errors.ts';
import { isConflict } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import { defaultLifeSeconds, issuePeeringToken, secretBytes, tokenState } from '../../shared/token-issue.ts';
import {
  tokenList,
  tokenRequest,
  tokenResponse,
  type tokenSummary,
  type TokenRequest,
  type TokenResponse,
} from '../../shared/wire/gateway-api.ts';
import { self, type Dependencies, type KubernetesUser } from '../http/context.ts';
import { route, type Route } from '../http/operation.ts';
import { invalidFields } from '../http/validation.ts';

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
        { status: 201, description: 'The token, to be passed to the consumer', schema: tokenResponse },
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
  const issued = issuePeeringToken({
    issuer: self(dependencies).object.status ?? {},
    maximumGrant: self(dependencies).object.spec.maximumGrant,
    namespace,
    grant: request.grant,
    consumer: request.consumer,
    lifeSeconds: request.expiresInSeconds ?? defaultLifeSeconds,
    issuedBy: user.username,
    managedBy: 'hawser-gateway',
    secret: random(secretBytes),
    now: clock(),
  });
  if ('waitingFor' in issued) throw new Problem('not-ready', issued.waitingFor, { retryAfterSeconds: 5 });
  if ('problems' in issued) throw invalidFields(issued.problems);
  const { object, token } = issued;
  await kube.create(object, signal);
  return { name: object.metadata.name, token, expiresAt: object.spec.expiresAt, grant: object.spec.grant };
}

function listRoute({ kube, namespace, limits, clock }: Dependencies): Route {
  return route(
    {
      id: 'listTokens',
      method: 'GET',
      path: '/v1/tokens',
      summary: 'List issued peering tokens, without their secrets',
      authentication: { by: 'Kubernetes', permission: 'list' },
      responses: [{ status: 200, description: 'Tokens, the newest first', schema: tokenList }],
      problems: ['unauthenticated', 'forbidden'],
    },
    async (context) => {
      const { items } = await kube.list(
        kind.peeringToken,
        { namespace, atMost: limits.listedTokens },
        context.var.signal,
      );
      const newestFirst = items.toSorted((a, b) =>
        (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''),
      );
      return context.json({ items: newestFirst.map((token) => summarize(token, clock())) });
    },
  );
}

function summarize(token: PeeringToken, now: number): z.infer<typeof tokenSummary> {
  const { consumer, expiresAt, grant } = token.spec;
  const redeemedBy = token.status?.redeemedBy?.clusterID;
  return {
    name: token.metadata.name,
    expiresAt,
    grant,
    ...(consumer !== undefined && { consumer }),
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
      summary: 'Revoke a peering token; a peering that was created with it stays',
      authentication: { by: 'Kubernetes', permission: 'delete' },
      parameters: [
        { name: 'name', in: 'path', description: 'Name of the token, as in the list', schema: objectName },
      ],
      responses: [{ status: 204, description: 'The token can no longer be redeemed' }],
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
      { field: 'name', detail: 'is not a valid token name', allowed: 'a name from the list of tokens' },
    ]);
  for (let attempt = 1; ; attempt++) {
    const token = await kube.get({ kind: kind.peeringToken, namespace, name }, signal);
    if (token === undefined) throw new Problem('not-found', `The peering token ${name} does not exist.`);
    if (token.spec.revoked === true) return;
    try {
      await kube.replace({ ...token, spec: { ...token.spec, revoked: true } }, {}, signal);
      return;
    } catch (error) {
      // Its status was written at the same time.
      if (!isConflict(error) || attempt >= REVOKE_ATTEMPTS) throw error;
    }
  }
}
