/** Problem documents (RFC 9457): refusals of the API gateway, for the gateway and its clients. */
import { z } from 'zod';

export const problemContentType = 'application/problem+json';
const TYPE_PREFIX = 'https://hawser.dev/problems/';

/** The error of one field. */
export const fieldProblem = z.object({
  field: z
    .string()
    .max(256)
    .describe('Path of the field, for example grant.cpu; or the name of a header or parameter'),
  detail: z.string().max(1024),
  allowed: z.string().max(1024).optional().describe('Allowed values'),
});
export type FieldProblem = z.infer<typeof fieldProblem>;

export const problemDocument = z.looseObject({
  type: z.string().max(300).describe('Stable name of the kind of problem, a URI'),
  title: z.string().max(300),
  status: z.int().min(400).max(599),
  detail: z.string().max(4096).describe('What happened, and how to resolve it'),
  instance: z.string().max(300).optional().describe('urn:uuid of the request, as in the logs'),
  field: z.string().max(256).optional().describe('Fields that are not valid'),
  errors: z.array(fieldProblem).max(64).optional(),
});
export type ProblemDocument = z.infer<typeof problemDocument>;

/** Kinds of problems with their status and title. The key is the last part of the type. */
export const problems = {
  'malformed-body': { status: 400, title: 'The body does not match its content type' },
  'invalid-field': { status: 422, title: 'A field is not valid' },
  'invalid-document': { status: 422, title: 'The network document is not valid' },
  unauthenticated: { status: 401, title: 'A valid bearer token of this Kubernetes cluster is required' },
  'signature-refused': { status: 401, title: 'The signature of the request is missing or not valid' },
  'token-not-redeemable': { status: 401, title: 'The peering token cannot be redeemed' },
  forbidden: { status: 403, title: 'Not allowed' },
  'not-found': { status: 404, title: 'Not found' },
  'no-peering': { status: 404, title: 'The peering does not exist' },
  'no-document-yet': { status: 404, title: 'The network document does not exist yet' },
  'method-not-allowed': { status: 405, title: 'The resource does not support this method' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  'stale-generation': { status: 409, title: 'A newer network document is stored' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'The content type is not supported' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  internal: { status: 500, title: 'The API gateway failed' },
  'api-server': { status: 502, title: 'The cluster’s API server refused a request of the API gateway' },
  'not-ready': { status: 503, title: 'Not ready yet' },
  overloaded: { status: 503, title: 'The API gateway is overloaded' },
  deadline: { status: 504, title: 'The request exceeded its deadline' },
} as const satisfies Record<string, { status: number; title: string }>;
export type ProblemName = keyof typeof problems;

export interface ProblemOptions {
  errors?: readonly FieldProblem[];
  /** Value of the header Retry-After. */
  retryAfterSeconds?: number;
  /** Further headers, such as WWW-Authenticate. */
  headers?: Readonly<Record<string, string>>;
  /** Further members of the document. */
  extensions?: Readonly<Record<string, unknown>>;
  /** For the log; never sent. */
  cause?: unknown;
}

/** An error that is shown to the sender of a request, so `detail` must not contain secrets. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly problem: ProblemName;
  readonly options: ProblemOptions;

  constructor(problem: ProblemName, detail: string, options: ProblemOptions = {}) {
    super(detail, { cause: options.cause });
    this.problem = problem;
    this.options = options;
  }

  get status(): number {
    return problems[this.problem].status;
  }

  /** The document. `requestID` is a UUID. */
  toDocument(requestID: string | undefined): ProblemDocument {
    const { errors, extensions } = this.options;
    const field = errors?.[0]?.field;
    return {
      type: problemType(this.problem),
      title: problems[this.problem].title,
      status: this.status,
      detail: this.message,
      ...(requestID !== undefined && { instance: `urn:uuid:${requestID}` }),
      ...(field !== undefined && { field }),
      ...(errors !== undefined && errors.length > 0 && { errors: errors.slice(0, 64) }),
      ...extensions,
    };
  }

  toResponse(requestID: string | undefined): Response {
    const headers = new Headers({ 'content-type': problemContentType, ...this.options.headers });
    if (this.options.retryAfterSeconds !== undefined)
      headers.set('retry-after', String(this.options.retryAfterSeconds));
    return new Response(`${JSON.stringify(this.toDocument(requestID))}\n`, { status: this.status, headers });
  }
}

/** The `type` member of a kind of problem. */
export function problemType(problem: ProblemName): string {
  return TYPE_PREFIX + problem;
}
