/** Errors of requests to API servers, recognised by type and never by text. */

/** The `Status` object of the Kubernetes API, as far as it is read. */
export interface StatusBody {
  kind?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: { retryAfterSeconds?: number; causes?: { reason?: string; message?: string; field?: string }[] };
}

/** An answer of an API server that is no success. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  /** HTTP status, or the code in an ERROR event of a watch. */
  readonly status: number;
  /** Machine-readable reason of the Kubernetes API, such as `AlreadyExists`. */
  readonly reason: string;
  /** The server's message, without the request that it answers. */
  readonly detail: string;
  /** Paths of the fields that the server refused, such as `status.apiServerURL`. */
  readonly fields: readonly string[];
  /** What the server asked to wait before the next try. */
  readonly retryAfterMilliseconds: number | undefined;

  constructor(what: string, status: number, body: StatusBody, retryAfterSeconds?: number) {
    // What another cluster's server sends has whatever types it likes.
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

/** No answer at all: refused, timed out, cut off, or a certificate that is not to be trusted. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
  /** Code of the system or of TLS, such as `ECONNREFUSED`; `DEADLINE` when no answer came in time. */
  readonly code: string;
  /** What happened, without the request that it happened to. */
  readonly detail: string;

  constructor(what: string, code: string, detail: string, cause?: unknown) {
    super(`${what}: no answer from the API server (${code}): ${detail}`, { cause });
    this.code = code;
    this.detail = detail;
  }
}

/** Whatever a transport has thrown, as what it means for the request. */
export function asUnreachable(what: string, error: unknown): Error {
  if (error instanceof UnreachableError || error instanceof KubeError) return error;
  const { name, message, code, cause } = error as Error & { code?: unknown };
  // fetch says only that it failed, and why in its cause.
  const deeper = cause as { code?: unknown; message?: string } | undefined;
  const found = [code, deeper?.code].find((each) => typeof each === 'string' && each !== '');
  if (name === 'TimeoutError') return new UnreachableError(what, 'DEADLINE', message, error);
  const detail = deeper?.message === undefined ? message : `${message}: ${deeper.message}`;
  return new UnreachableError(what, (found as string | undefined) ?? 'FAILED', detail, error);
}

/** The error that an answer outside 2xx stands for. */
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
    // Not a Status: a proxy's page, say.
    body = { message: text.slice(0, 500) };
  }
  const after = Number(response.header('retry-after'));
  return new KubeError(what, response.status, body, Number.isFinite(after) && after > 0 ? after : undefined);
}

const withStatus = (error: unknown, status: number): error is KubeError =>
  error instanceof KubeError && error.status === status;

/** 404: it isn't there, or its namespace or kind isn't. */
export const isNotFound = (error: unknown): error is KubeError => withStatus(error, 404);
/** Any 409: another writer came first, or the object already exists. */
export const isConflict = (error: unknown): error is KubeError => withStatus(error, 409);
/** 409, because an object of that name exists. */
export const isAlreadyExists = (error: unknown): error is KubeError =>
  withStatus(error, 409) && error.reason === 'AlreadyExists';
/** 401: the credentials are not valid (any more). */
export const isUnauthorized = (error: unknown): error is KubeError => withStatus(error, 401);
/** 403: refused by RBAC, a quota or an admission policy. */
export const isForbidden = (error: unknown): error is KubeError => withStatus(error, 403);
/** 403, because a ResourceQuota has no room for the object. Kubernetes has no reason of its own for it but these words. */
export const isQuotaExceeded = (error: unknown): error is KubeError =>
  isForbidden(error) && error.message.includes('exceeded quota');
/** 403, because a ResourceQuota was made a moment ago and Kubernetes has not counted yet: soon over. */
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
/** No answer came. */
export const isUnreachable = (error: unknown): error is UnreachableError => error instanceof UnreachableError;
/** More bytes than the client takes. */
export const isTooLarge = (error: unknown): error is UnreachableError =>
  error instanceof UnreachableError && error.code === 'TOO_LARGE';
/** Thrown because a signal was aborted; not worth a log line. */
export const isAborted = (error: unknown, signal: AbortSignal): boolean =>
  signal.aborted && (error === signal.reason || (error instanceof Error && error.name === 'AbortError'));

/** The text of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
