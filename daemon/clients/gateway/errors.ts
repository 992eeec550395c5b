/** Errors of the API gateway's client: refusals, and missing or invalid answers. */
import {
  problemContentType,
  problemDocument,
  problemType,
  type ProblemDocument,
  type ProblemName,
} from '../../../shared/errors.ts';

/** The API gateway refused the request (RFC 9457). */
export class GatewayProblem extends Error {
  override readonly name = 'GatewayProblem';
  readonly status: number;
  /** `https://hawser.dev/problems/…`; compare with `isProblem`. */
  readonly type: string;
  readonly title: string;
  readonly detail: string;
  /** The first invalid field. */
  readonly field: string | undefined;
  readonly document: ProblemDocument;
  /** From the Retry-After header, if the gateway sent one. */
  readonly retryAfterMilliseconds: number | undefined;

  constructor(document: ProblemDocument, retryAfterMilliseconds: number | undefined) {
    super(`${document.title}: ${document.detail}`);
    this.status = document.status;
    this.type = document.type;
    this.title = document.title;
    this.detail = document.detail;
    this.field = document.field;
    this.document = document;
    this.retryAfterMilliseconds = retryAfterMilliseconds;
  }
}

/** No answer, or one that is not an API gateway's. */
export class GatewayUnreachable extends Error {
  override readonly name: string = 'GatewayUnreachable';
}

/** The server's answer is not an API gateway's: not a valid document, too long, or without an end. */
export class MeaninglessAnswer extends GatewayUnreachable {
  override readonly name = 'MeaninglessAnswer';
}

/** Whether an error is the gateway's refusal with that problem type. */
export function isProblem(error: unknown, name: ProblemName): error is GatewayProblem {
  return error instanceof GatewayProblem && error.type === problemType(name);
}

/** Whether the same request may succeed later. */
export function isTemporary(error: unknown): boolean {
  if (error instanceof GatewayUnreachable) return true;
  return (
    error instanceof GatewayProblem && (error.status >= 500 || error.status === 429 || error.status === 408)
  );
}

/** The error for an answer with another status than success. `text` is its body, already bounded. */
export function problemOf(response: Response, text: string): GatewayProblem | GatewayUnreachable {
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  if ((response.headers.get('content-type') ?? '').startsWith(problemContentType)) {
    const parsed = problemDocument.safeParse(parseJSON(text));
    if (parsed.success)
      return new GatewayProblem(
        { ...parsed.data, status: response.status },
        Number.isFinite(retryAfter) ? Math.min(Math.max(retryAfter, 0), 3600) * 1000 : undefined,
      );
  }
  return new GatewayUnreachable(
    `the server at the gateway's address is not a Hawser API gateway: it answered HTTP status ${response.status} without a problem document`,
  );
}

export function parseJSON(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
