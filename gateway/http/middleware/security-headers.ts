import type { MiddlewareHandler } from 'hono';
import type { GatewayEnvironment } from '../context.ts';

/** What an API says to browsers and caches: that it is none of their business. */
export function securityHeaders(): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    await next();
    context.header('cache-control', 'no-store');
    context.header('x-content-type-options', 'nosniff');
    context.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    context.header('strict-transport-security', 'max-age=31536000');
  };
}
