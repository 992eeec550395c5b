import type { MiddlewareHandler } from 'hono';
import { group } from '../../../shared/api/meta.ts';
import { peeringToken } from '../../../shared/api/peerings.ts';
import { Problem } from '../../../shared/errors.ts';
import type { AnyObject } from '../../../shared/kube/refs.ts';
import type { Dependencies, GatewayEnvironment, KubernetesUser } from '../context.ts';

/** The verb that a user needs on PeeringTokens in Hawser's namespace. */
export type Permission = 'create' | 'list' | 'delete';

/** Service accounts' tokens have about a thousand characters; those of OpenID providers may have ten thousand. */
const TOKEN_LIMIT = 16_384;
const SCHEME = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

interface TokenReview extends AnyObject {
  spec: { token: string };
  status?: { authenticated?: boolean; user?: Partial<KubernetesUser> };
}
interface SubjectAccessReview extends AnyObject {
  spec: Record<string, unknown>;
  status?: { allowed?: boolean };
}

/** Admits users that the API server authenticates by a bearer token and authorizes for `verb` on PeeringTokens. */
export function authenticateKubernetes(
  dependencies: Dependencies,
  verb: Permission,
): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    const token = SCHEME.exec(context.req.header('authorization') ?? '')?.[1];
    if (token === undefined || token.length > TOKEN_LIMIT)
      throw unauthenticated(
        'Send a bearer token of this Kubernetes cluster (kubectl create token …) in the header Authorization.',
      );
    const user = await reviewToken(dependencies, token, context.var.signal);
    if (user === undefined)
      throw unauthenticated('This Kubernetes cluster does not know the bearer token, or it has expired.');
    context.set('user', user);
    context.set('caller', user.username);
    if (!(await mayDo(dependencies, user, verb, context.var.signal)))
      throw new Problem(
        'forbidden',
        `${user.username} may not ${verb} ${peeringToken.plural}.${group} in the namespace ${dependencies.namespace}; an administrator can grant it with a Role.`,
      );
    await next();
  };
}

async function reviewToken(
  { kube }: Dependencies,
  token: string,
  signal: AbortSignal,
): Promise<KubernetesUser | undefined> {
  const review = await kube.create<TokenReview>(
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      metadata: { name: '' },
      spec: { token },
    },
    signal,
  );
  const user = review.status?.user;
  if (review.status?.authenticated !== true || user?.username === undefined) return undefined;
  return { ...user, username: user.username };
}

async function mayDo(
  { kube, namespace }: Dependencies,
  user: KubernetesUser,
  verb: Permission,
  signal: AbortSignal,
): Promise<boolean> {
  const review = await kube.create<SubjectAccessReview>(
    {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      metadata: { name: '' },
      spec: {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        resourceAttributes: { namespace, verb, group, resource: peeringToken.plural },
      },
    },
    signal,
  );
  return review.status?.allowed === true;
}

function unauthenticated(detail: string): Problem {
  return new Problem('unauthenticated', detail, {
    errors: [{ field: 'authorization', detail: 'is missing or not valid' }],
    headers: { 'www-authenticate': 'Bearer realm="hawser"' },
  });
}
