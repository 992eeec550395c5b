import type { MiddlewareHandler } from 'hono';
import { Problem } from '../../../shared/errors.ts';
import type { GatewayEnvironment } from '../context.ts';
import type { Metrics } from '../metrics.ts';

export interface ConcurrencyOptions {
  /** Requests that are answered at one time. */
  most: number;
  metrics: Metrics;
}

/** Refuses what comes while enough is being answered already, at once instead of late. */
export function concurrency(options: ConcurrencyOptions): MiddlewareHandler<GatewayEnvironment> {
  let running = 0;
  options.metrics.gauge('hawser_api_requests_running', 'Requests in progress.', () => running);
  return async (_context, next) => {
    if (running >= options.most)
      throw new Problem(
        'overloaded',
        `The API gateway is already answering ${options.most} requests. Try again later.`,
        {
          retryAfterSeconds: 2,
        },
      );
    running++;
    try {
      await next();
    } finally {
      running--;
    }
  };
}
