import type { MiddlewareHandler } from 'hono';
import type { GatewayEnvironment } from '../context.ts';

/** Headers that keep browsers and caches from storing, framing or interpreting answers of an API. */
export function securityHeaders(): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    await next();
    context.header('cache-control', 'no-store');
    context.header('x-content-type-options', 'nosniff');
    context.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
    context.header('strict-transport-security', 'max-age=31536000');
  };
}
