import type { ErrorHandler } from 'hono';
import { Problem, problemContentType } from '../../../shared/errors.ts';
import { isUnreachable, KubeError } from '../../../shared/kube/errors.ts';
import { SignatureError } from '../../../shared/trust/http-signatures.ts';
import type { GatewayEnvironment } from '../context.ts';
import type { Log } from '../../../shared/log.ts';

/** Converts thrown errors to problem documents (RFC 9457). Internal details go only to the log. */
export function problemHandler(log: Log): ErrorHandler<GatewayEnvironment> {
  return (error, context) => {
    const problem = problemOf(error);
    if (problem.status >= 500 || problem.cause !== undefined)
      log.warn('request failed', {
        requestID: context.var.requestID,
        problem: problem.problem,
        error: problem.cause ?? error,
      });
    const response = problem.toResponse(context.var.requestID);
    // Set on the context too, so that headers that middleware adds afterwards aren't lost.
    return context.newResponse(response.body, response.status as 500, {
      ...Object.fromEntries(response.headers),
      'content-type': problemContentType,
    });
  };
}

/** The problem that the sender gets for an error. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof SignatureError)
    return new Problem(
      error.reason === 'TooMany' ? 'too-many-requests' : 'signature-refused',
      `${error.message.slice(0, 1).toUpperCase()}${error.message.slice(1)}.`,
      { errors: [{ field: error.field, detail: error.reason }] },
    );
  const late = isUnreachable(error) && error.code === 'DEADLINE';
  if (error instanceof KubeError || (isUnreachable(error) && !late))
    return new Problem(
      'api-server',
      'The API server of this cluster refused a request of the API gateway, or failed. Try again later; the log of the API gateway has the details.',
      {
        retryAfterSeconds: 5,
        cause: error,
      },
    );
  if (
    late ||
    (error instanceof DOMException && (error.name === 'TimeoutError' || error.name === 'AbortError'))
  )
    return new Problem('deadline', 'The request exceeded its deadline. Try again.', {
      retryAfterSeconds: 5,
      cause: error,
    });
  return new Problem('internal', 'The API gateway failed; its log has the details.', {
    cause: error,
  });
}
