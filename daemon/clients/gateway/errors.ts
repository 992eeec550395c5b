/** How a gateway's no, and its silence, reach the caller. */
import {
  problemContentType,
  problemDocument,
  problemType,
  type ProblemDocument,
  type ProblemName,
} from '../../../shared/errors.ts';

/** The gateway said no. */
export class GatewayProblem extends Error {
  override readonly name = 'GatewayProblem';
  readonly status: number;
  /** `https://hawser.dev/problems/…`; compare with `isProblem`. */
  readonly type: string;
  readonly title: string;
  readonly detail: string;
  /** The first field that is wrong. */
  readonly field: string | undefined;
  readonly document: ProblemDocument;
  /** When it makes sense to ask again, if the gateway said so. */
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

/** No answer, or none that a gateway gives. */
export class GatewayUnreachable extends Error {
  override readonly name: string = 'GatewayUnreachable';
}

/** The server answered, but not as an API gateway does: not a document, too long, or without end. */
export class MeaninglessAnswer extends GatewayUnreachable {
  override readonly name = 'MeaninglessAnswer';
}

/** Whether an error is the gateway's no of that kind. */
export function isProblem(error: unknown, name: ProblemName): error is GatewayProblem {
  return error instanceof GatewayProblem && error.type === problemType(name);
}

/** Whether asking again later may help without anything being changed. */
export function isTemporary(error: unknown): boolean {
  if (error instanceof GatewayUnreachable) return true;
  return (
    error instanceof GatewayProblem && (error.status >= 500 || error.status === 429 || error.status === 408)
  );
}

/** The error of an answer that isn't a success. `text` is its body, already bounded. */
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
