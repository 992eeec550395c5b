import type { MiddlewareHandler } from 'hono';
import type { GatewayEnvironment } from '../context.ts';
import { deadline as deadlineOf } from '../../../shared/time.ts';

export interface DeadlineOptions {
  milliseconds: number;
}

/** Gives every request a signal that is aborted at its deadline or when its sender disconnects. */
export function deadline(options: DeadlineOptions): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    using limited = deadlineOf(context.req.raw.signal, options.milliseconds, 'the request');
    context.set('signal', limited.signal);
    await next();
  };
}
