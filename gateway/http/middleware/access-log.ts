import type { MiddlewareHandler } from 'hono';
import { routePath } from 'hono/route';
import type { Log } from '../../../shared/log.ts';
import type { GatewayContext, GatewayEnvironment } from '../context.ts';
import type { Metrics } from '../metrics.ts';

export interface AccessLogOptions {
  log: Log;
  metrics: Metrics;
  clock: () => number;
  sourceOf: (context: GatewayContext) => string;
}

/** One log line and one count per request, with the matched route, but never its query, headers or body. */
export function accessLog(options: AccessLogOptions): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    await next();
    const milliseconds = options.clock() - context.var.startedAt;
    // The last matched path is the route's own; the wildcard is the middleware's, when there is no such route.
    const matched = routePath(context, -1);
    const labels = {
      method: ['GET', 'POST', 'PUT', 'DELETE'].includes(context.req.method) ? context.req.method : 'other',
      route: matched.includes('*') ? 'none' : matched,
    };
    const status = String(context.res.status);
    options.metrics.count('hawser_api_requests_total', 'Requests answered.', { ...labels, status });
    options.metrics.observeSeconds(
      'hawser_api_request_seconds',
      'Time until the answer began.',
      milliseconds / 1000,
      labels,
    );
    options.log[context.res.status >= 500 ? 'warn' : 'info']('request', {
      requestID: context.var.requestID,
      ...labels,
      status: context.res.status,
      milliseconds,
      source: options.sourceOf(context),
      caller: context.var.caller,
    });
  };
}
