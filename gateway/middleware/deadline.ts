import type { MiddlewareHandler } from 'hono';
import type { GatewayEnvironment } from '../context.ts';

export interface DeadlineOptions {
  milliseconds: number;
}

/** Gives every request a signal that ends with its deadline or with its sender. */
export function deadline(options: DeadlineOptions): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    context.set(
      'signal',
      AbortSignal.any([context.req.raw.signal, AbortSignal.timeout(options.milliseconds)]),
    );
    await next();
  };
}
