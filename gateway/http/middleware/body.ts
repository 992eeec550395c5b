import type { MiddlewareHandler } from 'hono';
import { Problem } from '../../../shared/errors.ts';
import { concatenate } from '../../../shared/trust/encoding.ts';
import type { GatewayEnvironment } from '../context.ts';
import type { Places } from '../places.ts';

export interface BodyOptions {
  /** Maximum bytes of a body. */
  bytes: number;
  /** Deadline for receiving the body. */
  milliseconds: number;
  /** Slots for bodies being read: each may take `bytes` of memory for `milliseconds`. */
  places: Places;
}

/**
 * Reads the complete body and counts its bytes: a Content-Length is trusted only if it exceeds the limit. Signature and schema
 * then use the same bytes.
 */
export function readBody(options: BodyOptions): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    const tooLarge = () =>
      new Problem('body-too-large', `The body is larger than ${options.bytes} bytes.`, {
        // The rest is not read, so the connection cannot be reused.
        headers: { connection: 'close' },
      });
    if (Number(context.req.header('content-length') ?? 0) > options.bytes) throw tooLarge();
    const stream = context.req.raw.body;
    if (stream === null) context.set('body', new Uint8Array(0));
    else {
      const done = options.places.take(context);
      try {
        context.set('body', await readAll(stream, options, tooLarge));
      } finally {
        done();
      }
    }
    await next();
  };
}

async function readAll(
  stream: ReadableStream<Uint8Array>,
  options: BodyOptions,
  tooLarge: () => Problem,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = stream.getReader();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void reader.cancel().catch(() => {});
  }, options.milliseconds);
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (late)
        throw new Problem(
          'request-timeout',
          `The body did not arrive within ${options.milliseconds / 1000} seconds.`,
          { headers: { connection: 'close' } },
        );
      if (done) return concatenate(...parts);
      size += value.length;
      if (size > options.bytes) {
        void reader.cancel().catch(() => {});
        throw tooLarge();
      }
      parts.push(value);
    }
  } finally {
    clearTimeout(timer);
  }
}
