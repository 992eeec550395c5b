/**
 * The Kubernetes API by fetch alone, so that it runs wherever fetch does: the few verbs that the gateway has the right to
 * use. Errors are KubeError; every call has a deadline.
 */
import type { ObjectMeta } from '../../shared/api/meta.ts';
import { deadline } from '../../shared/time.ts';

/** An API server, and how to be let in. */
export interface KubeConnection {
  /** `https://host:port` */
  server: string;
  /** A fetch that trusts the API server's certificate. */
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** The bearer token as it is now; service accounts' tokens change. */
  token: () => Promise<string>;
}

/** Where the objects of a kind are: `/api/v1/…` or `/apis/GROUP/VERSION/…`, without the object's name. */
export type ResourcePath = `/api/${string}` | `/apis/${string}`;

export interface AnyObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

export interface KubeList<T> {
  metadata: { resourceVersion: string; continue?: string };
  items: T[];
}

/** The API server's `Status` when it said no. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly status: number;
  /** metav1.StatusReason, as `AlreadyExists`. */
  readonly reason: string;
  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

export const isNotFound = (error: unknown): boolean => error instanceof KubeError && error.status === 404;
/** Another resourceVersion, or a precondition that doesn't hold. */
export const isConflict = (error: unknown): boolean =>
  error instanceof KubeError && error.status === 409 && error.reason !== 'AlreadyExists';
/** Rights that were given a moment ago are not known to every API server yet. */
export const isForbidden = (error: unknown): boolean => error instanceof KubeError && error.status === 403;
export const isAlreadyExists = (error: unknown): boolean =>
  error instanceof KubeError && error.reason === 'AlreadyExists';
/** The watch's resourceVersion is too old: list again. */
export const isGone = (error: unknown): boolean =>
  error instanceof KubeError && (error.status === 410 || error.reason === 'Expired');

/** The API server's own limit is a minute; the gateway's callers don't wait that long. */
const CALL_MILLISECONDS = 10_000;
/** Longer answers than these aren't asked for; whoever sends one isn't the API server. */
const ANSWER_BYTES = 16 * 1024 * 1024;

export class KubeClient {
  readonly #connection: KubeConnection;

  constructor(connection: KubeConnection) {
    this.#connection = connection;
  }

  /** Undefined when there is none. */
  async get<T extends AnyObject>(
    resource: ResourcePath,
    name: string,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    try {
      return await this.#json<T>('GET', `${resource}/${encodeURIComponent(name)}`, undefined, signal);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  list<T extends AnyObject>(
    resource: ResourcePath,
    signal: AbortSignal,
    query: Record<string, string> = {},
  ): Promise<KubeList<T>> {
    return this.#json('GET', `${resource}?${new URLSearchParams(query).toString()}`, undefined, signal);
  }

  create<T extends { kind: string }>(resource: ResourcePath, object: T, signal: AbortSignal): Promise<T> {
    return this.#json('POST', `${resource}?fieldManager=hawser-gateway`, object, signal);
  }

  /** Fails with a conflict when the object's resourceVersion isn't the stored one. */
  replace<T extends AnyObject>(
    resource: ResourcePath,
    object: T,
    signal: AbortSignal,
    subresource?: 'status',
  ): Promise<T> {
    const suffix = subresource === undefined ? '' : `/${subresource}`;
    const path = `${resource}/${encodeURIComponent(object.metadata.name)}${suffix}`;
    return this.#json('PUT', `${path}?fieldManager=hawser-gateway`, object, signal);
  }

  /** Deletes the object of that UID. Gone already, or replaced by another one, is success. */
  async delete(
    resource: ResourcePath,
    name: string,
    uid: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const options = {
      kind: 'DeleteOptions',
      apiVersion: 'v1',
      ...(uid !== undefined && { preconditions: { uid } }),
    };
    try {
      await this.#json('DELETE', `${resource}/${encodeURIComponent(name)}`, options, signal);
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  /** The open stream of a watch, lines of JSON. It ends with the connection or with `signal`. Throws KubeError. */
  async watch(
    resource: ResourcePath,
    query: Record<string, string>,
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    const search = new URLSearchParams({ ...query, watch: 'true', allowWatchBookmarks: 'true' });
    const response = await this.#send('GET', `${resource}?${search.toString()}`, undefined, signal);
    if (!response.ok) throw await errorOf(response);
    if (response.body === null)
      throw new KubeError(500, 'NoBody', 'the API server answered a watch with nothing');
    return response.body;
  }

  async #json<T>(method: string, path: string, body: unknown, signal: AbortSignal): Promise<T> {
    using limited = deadline(signal, CALL_MILLISECONDS, 'a call to the API server');
    const response = await this.#send(method, path, body, limited.signal);
    if (!response.ok) throw await errorOf(response);
    const length = Number(response.headers.get('content-length') ?? 0);
    if (length > ANSWER_BYTES) {
      await response.body?.cancel();
      throw new KubeError(500, 'TooLarge', `the API server answered ${method} ${path} with ${length} bytes`);
    }
    return (await response.json()) as T;
  }

  async #send(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = {
      accept: 'application/json',
      authorization: `Bearer ${await this.#connection.token()}`,
      'user-agent': 'hawser-gateway',
    };
    if (body !== undefined) headers['content-type'] = 'application/json';
    return this.#connection.fetch(this.#connection.server + path, {
      method,
      headers,
      signal,
      redirect: 'manual',
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }
}

async function errorOf(response: Response): Promise<KubeError> {
  let status: { reason?: unknown; message?: unknown } = {};
  try {
    status = JSON.parse((await response.text()).slice(0, 65_536)) as typeof status;
  } catch {
    // Not a Status: a proxy's page, say. The HTTP status is what there is.
  }
  const reason = typeof status.reason === 'string' ? status.reason : `HTTP${response.status}`;
  const message = typeof status.message === 'string' ? status.message : `HTTP status ${response.status}`;
  return new KubeError(response.status, reason, message);
}
