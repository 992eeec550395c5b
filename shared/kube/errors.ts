/** Errors of requests to API servers, recognised by type and never by text. */

/** The parts of the Kubernetes API's `Status` object that are read. */
export interface StatusBody {
  kind?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: { retryAfterSeconds?: number; causes?: { reason?: string; message?: string; field?: string }[] };
}

/** An unsuccessful response of an API server. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  /** HTTP status, or the code in an ERROR event of a watch. */
  readonly status: number;
  /** Machine-readable reason of the Kubernetes API, such as `AlreadyExists`. */
  readonly reason: string;
  /** The server's message, without the request. */
  readonly detail: string;
  /** Paths of the fields that the server refused, such as `status.apiServerURL`. */
  readonly fields: readonly string[];
  /** The delay before a retry that the server asked for. */
  readonly retryAfterMilliseconds: number | undefined;

  constructor(what: string, status: number, body: StatusBody, retryAfterSeconds?: number) {
    // Another cluster's server may send fields of any type.
    const reason = typeof body.reason === 'string' ? body.reason : '';
    const said = typeof body.message === 'string' ? body.message : reason || 'no message';
    super(`${what}: the API server answered ${status}: ${said.slice(0, 2000)}`);
    this.status = status;
    this.reason = reason;
    this.detail = said.slice(0, 2000);
    const causes = Array.isArray(body.details?.causes) ? body.details.causes : [];
    this.fields = causes.flatMap((cause) => (typeof cause?.field === 'string' ? [cause.field] : []));
    const seconds = retryAfterSeconds ?? body.details?.retryAfterSeconds;
    this.retryAfterMilliseconds = typeof seconds === 'number' ? Math.min(seconds, 60) * 1000 : undefined;
  }
}

/** No response: refused, timed out, interrupted, or an untrusted certificate. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
  /** Code of the system or of TLS, such as `ECONNREFUSED`; `DEADLINE` without a response in time. */
  readonly code: string;
  /** What happened, without the request. */
  readonly detail: string;

  constructor(what: string, code: string, detail: string, cause?: unknown) {
    super(`${what}: no answer from the API server (${code}): ${detail}`, { cause });
    this.code = code;
    this.detail = detail;
  }
}

/** Converts anything that a transport throws to the request's error. */
export function asUnreachable(what: string, error: unknown): Error {
  if (error instanceof UnreachableError || error instanceof KubeError) return error;
  const { name, message, code, cause } = error as Error & { code?: unknown };
  // fetch reports only its failure, with the reason as its cause.
  const deeper = cause as { code?: unknown; message?: string } | undefined;
  const found = [code, deeper?.code].find((each) => typeof each === 'string' && each !== '');
  if (name === 'TimeoutError') return new UnreachableError(what, 'DEADLINE', message, error);
  const detail = deeper?.message === undefined ? message : `${message}: ${deeper.message}`;
  return new UnreachableError(what, (found as string | undefined) ?? 'FAILED', detail, error);
}

/** The error of a response outside 2xx. */
export function statusError(
  what: string,
  response: { status: number; header(name: string): string | undefined },
  text: string,
): KubeError {
  let body: StatusBody = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) body = parsed;
  } catch {
    // Not a Status: for example a proxy's page.
    body = { message: text.slice(0, 500) };
  }
  const after = Number(response.header('retry-after'));
  return new KubeError(what, response.status, body, Number.isFinite(after) && after > 0 ? after : undefined);
}

const withStatus = (error: unknown, status: number): error is KubeError =>
  error instanceof KubeError && error.status === status;

/** 404: the object, its namespace or its kind does not exist. */
export const isNotFound = (error: unknown): error is KubeError => withStatus(error, 404);
/** Any 409: another writer was first, or the object already exists. */
export const isConflict = (error: unknown): error is KubeError => withStatus(error, 409);
/** 409, because an object of that name exists. */
export const isAlreadyExists = (error: unknown): error is KubeError =>
  withStatus(error, 409) && error.reason === 'AlreadyExists';
/** 401: the credentials are invalid or have expired. */
export const isUnauthorized = (error: unknown): error is KubeError => withStatus(error, 401);
/** 403: refused by RBAC, a quota or an admission policy. */
export const isForbidden = (error: unknown): error is KubeError => withStatus(error, 403);
/** 403, because a ResourceQuota is exceeded. Kubernetes has no separate reason for it, only this message. */
export const isQuotaExceeded = (error: unknown): error is KubeError =>
  isForbidden(error) && error.message.includes('exceeded quota');
/** 403, because Kubernetes has not counted for a new ResourceQuota yet; a retry soon succeeds. */
export const isQuotaUnknown = (error: unknown): error is KubeError =>
  isForbidden(error) && error.message.includes('status unknown for quota');
/** 422: the object does not satisfy its schema. */
export const isInvalid = (error: unknown): error is KubeError => withStatus(error, 422);
/** 410: the resource version is too old; list again. */
export const isGone = (error: unknown): error is KubeError =>
  error instanceof KubeError && (error.status === 410 || error.reason === 'Expired');
/** 429 or a 5xx: the same request may succeed later. */
export const isTransient = (error: unknown): boolean =>
  error instanceof UnreachableError ||
  (error instanceof KubeError && (error.status === 429 || error.status >= 500));
/** There was no response. */
export const isUnreachable = (error: unknown): error is UnreachableError => error instanceof UnreachableError;
/** The response exceeds the client's limit. */
export const isTooLarge = (error: unknown): error is UnreachableError =>
  error instanceof UnreachableError && error.code === 'TOO_LARGE';
/** Caused by an abort of the signal; not worth a log line. */
export const isAborted = (error: unknown, signal: AbortSignal): boolean =>
  signal.aborted && (error === signal.reason || (error instanceof Error && error.name === 'AbortError'));

/** The message of any thrown value. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
