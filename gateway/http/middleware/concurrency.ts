import type { MiddlewareHandler } from 'hono';
import type { GatewayEnvironment } from '../context.ts';
import type { Metrics } from '../metrics.ts';
import type { Places } from '../places.ts';

export interface ConcurrencyOptions {
  places: Places;
  metrics: Metrics;
}

/** Refuses requests beyond the concurrency limit at once. */
export function concurrency({ places, metrics }: ConcurrencyOptions): MiddlewareHandler<GatewayEnvironment> {
  metrics.gauge('hawser_api_requests_running', 'Requests in progress.', () => places.held);
  return async (context, next) => {
    const done = places.take(context);
    try {
      await next();
    } finally {
      done();
    }
  };
}
