import type { MiddlewareHandler } from 'hono';
import type { RandomBytes } from '../../../shared/trust/cluster-key.ts';
import { toHex } from '../../../shared/trust/encoding.ts';
import type { GatewayEnvironment } from '../context.ts';

export interface RequestIDOptions {
  random: RandomBytes;
  clock: () => number;
}

/** Gives every request a UUID (RFC 9562, version 4) for its log line, its problem document and its answer's header. */
export function requestID(options: RequestIDOptions): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    const bytes = options.random(16);
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const id = toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    context.set('requestID', id);
    context.set('startedAt', options.clock());
    await next();
    context.header('x-request-id', id);
  };
}
