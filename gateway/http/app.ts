/** The API gateway as a Hono app with injected dependencies. It opens no sockets and starts no tasks. */
import { Hono } from 'hono';
import { z } from 'zod';
import { Problem } from '../../shared/errors.ts';
import type { Dependencies, GatewayContext, GatewayEnvironment } from './context.ts';
import type { PlaceLimits } from './limits.ts';
import { accessLog } from './middleware/access-log.ts';
import { signerOf } from './middleware/authenticate-signature.ts';
import { readBody } from './middleware/body.ts';
import { concurrency } from './middleware/concurrency.ts';
import { deadline } from './middleware/deadline.ts';
import { problemHandler } from './middleware/problems.ts';
import { rateLimit } from './middleware/rate-limit.ts';
import { requestID } from './middleware/request-id.ts';
import { securityHeaders } from './middleware/security-headers.ts';
import { openAPIDocument } from './openapi.ts';
import { mount, route, type Operation, type Route } from './operation.ts';
import { Places } from './places.ts';
import { identityRoute } from '../routes/identities.ts';
import { infoRoute } from '../routes/info.ts';
import { parameterRoutes } from '../routes/parameters.ts';
import { peeringRoutes } from '../routes/peering.ts';
import { previewRoute } from '../routes/previews.ts';
import { tokenRoutes } from '../routes/tokens.ts';

/** All routes, in the order in which the OpenAPI document lists them. */
export function gatewayRoutes(dependencies: Dependencies): Route[] {
  const routes = [
    infoRoute(dependencies),
    ...tokenRoutes(dependencies),
    previewRoute(dependencies),
    identityRoute(dependencies),
    ...parameterRoutes(dependencies),
    ...peeringRoutes(dependencies),
  ];
  const description: Operation = {
    id: 'getOpenAPI',
    method: 'GET',
    path: '/v1/openapi.json',
    summary: 'OpenAPI description of this API',
    authentication: { by: 'Nobody' },
    responses: [{ status: 200, description: 'OpenAPI 3.1', schema: z.looseObject({}) }],
    problems: [],
  };
  const document = openAPIDocument([...routes.map(({ operation }) => operation), description]);
  routes.push(route(description, async (context) => context.json(document)));
  return routes;
}

/** The app that answers peers. */
export function createGateway(dependencies: Dependencies): Hono<GatewayEnvironment> {
  const { limits, clock, random, log, metrics, sourceOf } = dependencies;
  const app = new Hono<GatewayEnvironment>();
  app.onError(problemHandler(log));
  const signer = (context: GatewayContext) => signerOf(dependencies, context);
  const places = (what: 'body' | 'request', doing: string, { sources, clusters }: PlaceLimits) =>
    new Places({
      sources,
      clusters,
      sourceOf,
      signerOf: signer,
      doing,
      closes: what === 'body',
      onRefused: () =>
        metrics.count('hawser_api_overloaded_total', 'Requests refused for want of a place.', {
          place: what,
        }),
    });
  const bodies = places('body', 'reading the bodies of', limits.bodies);
  metrics.gauge('hawser_api_bodies_read', 'Request bodies that are being read.', () => bodies.held);
  app.use(
    requestID({ random, clock }),
    accessLog({ log, metrics, clock, sourceOf }),
    securityHeaders(),
    rateLimit({
      perSecond: limits.requestsPerSecond,
      burst: limits.burst,
      sources: limits.sources,
      clock,
      sourceOf,
      signerOf: signer,
    }),
    deadline({ milliseconds: limits.requestMilliseconds }),
    // Before a concurrency slot is taken, so that slow senders hold none.
    readBody({ bytes: limits.bodyBytes, milliseconds: limits.bodyMilliseconds, places: bodies }),
    concurrency({ places: places('request', 'answering', limits.requests), metrics }),
  );
  const routes = gatewayRoutes(dependencies);
  for (const each of routes) mount(app, dependencies, each);
  app.notFound((context) => {
    throw unknownRoute(routes, context.req.path);
  });
  return app;
}

/** The answer for a path without a route (404), or without one for the method (405; RFC 9110, section 15.5.6). */
function unknownRoute(routes: readonly Route[], path: string): Problem {
  const methods = routes
    .filter(({ operation }) =>
      new RegExp(`^${operation.path.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`).test(path),
    )
    .map(({ operation }) => operation.method);
  if (methods.length === 0)
    return new Problem(
      'not-found',
      'Nothing is served at this path; GET /v1/openapi.json describes the API.',
    );
  const allow = methods.join(', ');
  return new Problem('method-not-allowed', `This resource supports ${allow}.`, { headers: { allow } });
}
