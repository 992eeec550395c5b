import type { MiddlewareHandler } from 'hono';
import { Problem } from '../../../shared/errors.ts';
import type { GatewayEnvironment } from '../context.ts';

export interface ContentTypeOptions {
  contentType: string;
  /** A request without body needs no content type. */
  emptyAllowed: boolean;
}

/** Refuses bodies with another content type. */
export function requireContentType(options: ContentTypeOptions): MiddlewareHandler<GatewayEnvironment> {
  return async (context, next) => {
    if (!(options.emptyAllowed && context.var.body.length === 0)) {
      const header = context.req.header('content-type') ?? '';
      const [type = '', ...parameters] = header.split(';').map((part) => part.trim().toLowerCase());
      if (
        type !== options.contentType ||
        parameters.some((each) => each !== '' && !/^charset="?utf-8"?$/.test(each))
      )
        throw new Problem(
          'unsupported-media-type',
          `The header content-type must be ${options.contentType} (with curl: -H 'content-type: ${options.contentType}').`,
          {
            errors: [{ field: 'content-type', detail: 'is not supported', allowed: options.contentType }],
            headers: { accept: options.contentType },
          },
        );
    }
    await next();
  };
}
