/**
 * One operation of the HTTP API: description, authentication and validation are declared once, so that the OpenAPI document
 * cannot differ from the running code.
 */
import type { Hono, MiddlewareHandler } from 'hono';
import type { z } from 'zod';
import type { ProblemName } from '../../shared/errors.ts';
import type { Dependencies, GatewayContext, GatewayEnvironment } from './context.ts';
import { authenticateKubernetes, type Permission } from './middleware/authenticate-kubernetes.ts';
import { authenticateSignature } from './middleware/authenticate-signature.ts';
import { requireContentType } from './middleware/content-type.ts';
import { parseBody } from './validation.ts';

/**
 * Who may call. `Kubernetes`: a bearer token of this cluster with that permission. `ClusterKey`: a signature of a known
 * cluster. `OwnSignature`: the route itself finds the key of the signature. `TokenSecret`: the secret of a peering token in the
 * body. `Nobody`: no authentication, so every client.
 */
export type Authentication =
  | { by: 'Nobody' }
  | { by: 'OwnSignature' }
  | { by: 'TokenSecret' }
  | { by: 'ClusterKey' }
  | { by: 'Kubernetes'; permission: Permission };

export interface OperationResponse {
  status: number;
  description: string;
  schema?: z.ZodType;
  contentType?: string;
}

export interface Operation<Body extends z.ZodType = z.ZodType> {
  id: string;
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path with parameters as `{name}`. */
  path: `/v1/${string}`;
  summary: string;
  authentication: Authentication;
  parameters?: readonly {
    name: string;
    in: 'path' | 'query' | 'header';
    description: string;
    schema: z.ZodType;
  }[];
  body?: { schema: Body; optional?: boolean };
  responses: readonly OperationResponse[];
  problems: readonly ProblemName[];
}

/** An operation with its handler. */
export interface Route {
  operation: Operation;
  answer: (context: GatewayContext, body: unknown) => Promise<Response>;
}

/** Joins an operation and its handler, whose answer has the type of the operation's schema. */
export function route<Body extends z.ZodType>(
  operation: Operation<Body>,
  answer: (context: GatewayContext, body: z.output<Body>) => Promise<Response>,
): Route {
  return { operation, answer: (context, body) => answer(context, body as z.output<Body>) };
}

/** Adds a route to the app, behind its guards. */
export function mount(
  app: Hono<GatewayEnvironment>,
  dependencies: Dependencies,
  { operation, answer }: Route,
): void {
  const guards: MiddlewareHandler<GatewayEnvironment>[] = [];
  const { authentication, body } = operation;
  if (authentication.by === 'Kubernetes')
    guards.push(authenticateKubernetes(dependencies, authentication.permission));
  if (authentication.by === 'ClusterKey') guards.push(authenticateSignature(dependencies));
  if (body !== undefined)
    guards.push(
      requireContentType({ contentType: 'application/json', emptyAllowed: body.optional ?? false }),
    );
  const path = operation.path.replace(/\{(\w+)\}/g, ':$1');
  app.on(operation.method, [path], ...guards, (context) =>
    answer(
      context,
      body === undefined ? undefined : parseBody(body.schema, context.var.body, body.optional ?? false),
    ),
  );
}
