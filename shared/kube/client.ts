/** A client of one API server: any kind, by plain HTTP (Kubernetes API concepts), over whichever transport it is given. */
import { deadline } from '../time.ts';
import { readBody, readLines } from './body.ts';
import {
  KubeError,
  UnreachableError,
  asUnreachable,
  isConflict,
  isNotFound,
  isTooLarge,
  statusError,
  type StatusBody,
} from './errors.ts';
import type { KubeResponse, KubeTransport } from './port.ts';
import { collectionPath, kindOf, objectPath, refOf, type AnyObject, type KindRef, type Ref } from './refs.ts';

export interface RequestOptions {
  /** JSON text or bytes. */
  body?: string | Uint8Array;
  /** Default `application/json`. */
  contentType?: string;
  headers?: Record<string, string>;
  /** Until the response's headers are there. Default: the client's. */
  timeoutMilliseconds?: number;
}

export interface ListOptions {
  /** Absent: over all namespaces. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
}

export interface WatchOptions extends ListOptions {
  resourceVersion: string;
  /** The server ends the watch after so long. */
  timeoutSeconds: number;
  /** Ends it on this side when not even a bookmark came for so long; the server sends one about every minute. */
  idleTimeoutMilliseconds: number;
}

export interface WatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  object: T;
}

export interface ApplyOptions {
  /** `hawser-<feature>`: owner of the fields that the object holds. */
  fieldManager: string;
  /** Take over fields that others own. Default true, as controllers do. */
  force?: boolean;
  subresource?: string;
}

export interface DeleteOptions {
  /** Delete only this very object; if another one has its name now, that is success. */
  uid?: string;
  /** Delete it only as it was seen; fails with Conflict when somebody has changed it since. */
  resourceVersion?: string;
  propagation?: 'Foreground' | 'Background' | 'Orphan';
  gracePeriodSeconds?: number;
}

/**
 * Everything Hawser asks an API server. Errors: KubeError for an answer that is no success, UnreachableError when none
 * came; the signal's reason when it was aborted.
 */
export interface KubeClient<R extends KubeResponse = KubeResponse> {
  /** Undefined: 404. */
  get<T extends AnyObject>(ref: Ref<T>, signal: AbortSignal): Promise<T | undefined>;
  /** All pages. */
  list<T extends AnyObject>(
    kind: KindRef<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): Promise<{ items: T[]; resourceVersion: string }>;
  /** Fails with AlreadyExists. `metadata.generateName` works. */
  create<T extends AnyObject>(
    object: T,
    signal: AbortSignal,
    options?: { fieldManager?: string },
  ): Promise<T>;
  /** As `create`, for a kind that the object need not name in full. */
  createIn<T extends AnyObject>(
    kind: KindRef<T>,
    namespace: string | undefined,
    object: T,
    signal: AbortSignal,
  ): Promise<T>;
  /** Server-side apply: creates or changes what the object says, and nothing else. */
  apply<T extends AnyObject>(object: T, options: ApplyOptions, signal: AbortSignal): Promise<T>;
  patch<T extends AnyObject>(
    ref: Ref<T>,
    patch: unknown,
    options: { type: 'merge' | 'json' | 'strategic' | 'apply'; subresource?: string; fieldManager?: string },
    signal: AbortSignal,
  ): Promise<T>;
  /** Fails with Conflict when the object has another resourceVersion by now. */
  replace<T extends AnyObject>(
    object: T,
    options: { subresource?: string; fieldManager?: string },
    signal: AbortSignal,
  ): Promise<T>;
  /** Gone already is success. Returns when the server took the request; finalizers may take longer. */
  delete(ref: Ref, options: DeleteOptions, signal: AbortSignal): Promise<void>;
  /** POST to a subresource, such as `pods/eviction` or `serviceaccounts/token`. */
  createSubresource<R = unknown>(
    ref: Ref,
    subresource: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<R>;
  /** For informers. Ends when the server ends it; an ERROR event is thrown as KubeError (410: list again). */
  watch<T extends AnyObject>(
    kind: KindRef<T>,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  /** Any request, any answer, read whole: for what is no object, such as `/version`, and to find out whether it answers. */
  text(
    method: string,
    path: string,
    options: RequestOptions & { maximumBytes?: number },
    signal: AbortSignal,
  ): Promise<{ status: number; text: string }>;
  /** Any request, any answer, with its body as a stream: logs, `/readyz`, metrics. */
  raw(method: string, path: string, options: RequestOptions, signal: AbortSignal): Promise<R>;
  readonly url: string;
  /** Closes idle connections; the client can still be used. */
  close(): void;
}

export interface ClientOptions {
  /** Of each request but watches and raw ones. Default 30 s. */
  timeoutMilliseconds?: number;
  /** Largest answer, and largest event of a watch. Default 64 MiB. */
  maximumBytes?: number;
  /**
   * Largest page of a list; of a larger one fewer objects are asked for. Default 16 MiB: a page is parsed whole, beside
   * everything that the process holds.
   */
  maximumPageBytes?: number;
  /** Largest list, all pages together. Default: no limit, for an API server of one's own. */
  maximumListBytes?: number;
  /** Owner of the fields that `create`, `replace` and `patch` write, where the call names none. */
  fieldManager?: string;
  /** Default `hawser`. */
  userAgent?: string;
}

const pageSize = 500;
const patchTypes = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  /** Server-side apply by reference, with force. */
  apply: 'application/apply-patch+yaml',
} as const;

function query(parameters: Record<string, string | undefined>): string {
  const text = Object.entries(parameters)
    .filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  return text === '' ? '' : `?${text}`;
}

/** Makes a client. Nothing is dialled before the first request. */
export function createKubeClient<R extends KubeResponse>(
  transport: KubeTransport<R>,
  options: ClientOptions = {},
): KubeClient<R> {
  const { timeoutMilliseconds = 30_000, maximumBytes = 64 << 20, maximumListBytes = Infinity } = options;
  const maximumPageBytes = Math.min(maximumBytes, options.maximumPageBytes ?? 16 << 20);

  async function send(
    method: string,
    path: string,
    { body, contentType = 'application/json', headers, timeoutMilliseconds: limit }: RequestOptions,
    signal: AbortSignal,
  ): Promise<R> {
    signal.throwIfAborted();
    const request = {
      method,
      path,
      headers: {
        accept: 'application/json',
        'user-agent': options.userAgent ?? 'hawser',
        ...(body !== undefined && { 'content-type': contentType }),
        ...headers,
      },
      ...(body !== undefined && { body }),
      timeoutMilliseconds: limit ?? timeoutMilliseconds,
    };
    try {
      return await transport.send(request, signal);
    } catch (error) {
      throw signal.aborted ? error : asUnreachable(nameOf(method, path), error);
    }
  }

  /** The text of an answer, whichever status it has. */
  async function read(
    response: R,
    limit: number,
    what: string,
    signal: AbortSignal,
    milliseconds = timeoutMilliseconds,
  ): Promise<string> {
    // The headers came in time; a body that stalls must not wait for ever either.
    using time = deadline(signal, milliseconds, what);
    const stalled = () =>
      response.cancel(
        signal.aborted
          ? (signal.reason as Error)
          : new UnreachableError(what, 'DEADLINE', 'the answer stopped half-way'),
      );
    time.signal.addEventListener('abort', stalled, { once: true });
    try {
      return await readBody(response.body, limit, what);
    } catch (error) {
      response.cancel(error as Error);
      throw signal.aborted ? error : asUnreachable(what, error);
    }
  }

  /** What was asked for, and how many bytes it came in. */
  async function ask(
    method: string,
    path: string,
    more: RequestOptions,
    signal: AbortSignal,
    limit = maximumBytes,
  ): Promise<{ value: unknown; bytes: number }> {
    const what = nameOf(method, path);
    const response = await send(method, path, more, signal);
    const answer = await read(response, limit, what, signal);
    if (response.status < 200 || response.status > 299) throw statusError(what, response, answer);
    if (answer === '') return { value: undefined, bytes: 0 };
    try {
      return { value: JSON.parse(answer) as unknown, bytes: answer.length };
    } catch (error) {
      throw new UnreachableError(what, 'MALFORMED', 'the answer is not JSON; is the address right?', error);
    }
  }

  async function json<T>(
    method: string,
    path: string,
    more: RequestOptions,
    signal: AbortSignal,
  ): Promise<T> {
    return (await ask(method, path, more, signal)).value as T;
  }

  const client: KubeClient<R> = {
    url: transport.url,
    async get<T extends AnyObject>(ref: Ref<T>, signal: AbortSignal) {
      try {
        return await json<T>('GET', objectPath(ref), {}, signal);
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    async list<T extends AnyObject>(
      kind: KindRef<T>,
      { namespace, ...selectors }: ListOptions,
      signal: AbortSignal,
    ) {
      const items: T[] = [];
      const collection = collectionPath(kind, namespace);
      const what = `LIST ${collection}`;
      let bytes = 0;
      let limit = pageSize;
      for (let token: string | undefined; ;) {
        const parameters = { ...selectors, limit: String(limit), continue: token };
        let page: { metadata: { resourceVersion: string; continue?: string }; items: T[] | null };
        try {
          const answer = await ask(
            'GET',
            collection + query(parameters),
            {},
            signal,
            // A single object may be as large as any answer.
            limit === 1 ? maximumBytes : maximumPageBytes,
          );
          page = answer.value as typeof page;
          bytes += answer.bytes;
        } catch (error) {
          if (!isTooLarge(error) || limit === 1) throw error;
          // A few large objects must not keep all others from being read: fewer at a time, down to one.
          limit = Math.floor(limit / 2);
          continue;
        }
        // Each page is bounded, and so must be how many there are.
        if (bytes > maximumListBytes)
          throw new UnreachableError(what, 'TOO_LARGE', `a list of more than ${maximumListBytes} bytes`);
        for (const item of page.items ?? []) {
          // Items of Kubernetes' own kinds do not name theirs; whoever asks by the plural alone does not either.
          if (kind.kind !== '') Object.assign(item, { apiVersion: kind.apiVersion, kind: kind.kind });
          items.push(item);
        }
        token = page.metadata.continue;
        if (!token) return { items, resourceVersion: page.metadata.resourceVersion };
      }
    },
    create: (object, signal, more = {}) =>
      json(
        'POST',
        collectionPath(kindOf(object), needNamespace(object)) +
          query({ fieldManager: more.fieldManager ?? options.fieldManager }),
        { body: JSON.stringify(object) },
        signal,
      ),
    createIn: (kind, namespace, object, signal) =>
      json(
        'POST',
        collectionPath(kind, namespace) + query({ fieldManager: options.fieldManager }),
        { body: JSON.stringify(object) },
        signal,
      ),
    apply: (object, { fieldManager, force = true, subresource }, signal) =>
      json(
        'PATCH',
        objectPath(refOf(object), subresource) + query({ fieldManager, force: String(force) }),
        { body: JSON.stringify(object), contentType: 'application/apply-patch+yaml' },
        signal,
      ),
    patch: (ref, patch, { type, subresource, fieldManager }, signal) =>
      json(
        'PATCH',
        objectPath(ref, subresource) +
          query({
            fieldManager: fieldManager ?? options.fieldManager,
            force: type === 'apply' ? 'true' : undefined,
          }),
        { body: JSON.stringify(patch), contentType: patchTypes[type] },
        signal,
      ),
    replace: (object, { subresource, fieldManager }, signal) =>
      json(
        'PUT',
        objectPath(refOf(object), subresource) +
          query({ fieldManager: fieldManager ?? options.fieldManager }),
        { body: JSON.stringify(object) },
        signal,
      ),
    async delete(ref, { uid, resourceVersion, propagation, gracePeriodSeconds }, signal) {
      const preconditions = {
        ...(uid !== undefined && { uid }),
        ...(resourceVersion !== undefined && { resourceVersion }),
      };
      const body = JSON.stringify({
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...(Object.keys(preconditions).length > 0 && { preconditions }),
        ...(propagation !== undefined && { propagationPolicy: propagation }),
        ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
      });
      try {
        await json('DELETE', objectPath(ref), { body }, signal);
      } catch (error) {
        if (isNotFound(error)) return;
        if (!isConflict(error)) throw error;
        // Another object has the name by now, or this one is on its way out: both are what was asked for.
        const now = await client.get(ref, signal);
        const over =
          now === undefined ||
          now.metadata.deletionTimestamp !== undefined ||
          (uid !== undefined && now.metadata.uid !== uid);
        if (!over) throw error;
      }
    },
    createSubresource: (ref, subresource, body, signal) =>
      json('POST', objectPath(ref, subresource), { body: JSON.stringify(body) }, signal),
    watch: (kind, watchOptions, signal) => watch(kind, watchOptions, signal),
    async text(method, path, { maximumBytes: limit = maximumBytes, ...more }, signal) {
      const response = await send(method, path, more, signal);
      const what = nameOf(method, path);
      return {
        status: response.status,
        text: await read(response, limit, what, signal, more.timeoutMilliseconds),
      };
    },
    raw: send,
    close: () => transport.close(),
  };
  return client;

  async function* watch<T extends AnyObject>(
    kind: KindRef<T>,
    { namespace, timeoutSeconds, idleTimeoutMilliseconds, ...selectors }: WatchOptions,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>, void, void> {
    const collection = collectionPath(kind, namespace);
    const what = `WATCH ${collection}`;
    const parameters = {
      ...selectors,
      watch: '1',
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(Math.ceil(timeoutSeconds)),
    };
    const response = await send('GET', collection + query(parameters), {}, signal);
    if (response.status !== 200)
      throw statusError(what, response, await read(response, 65_536, what, signal));
    using silence = deadline(signal, idleTimeoutMilliseconds, what);
    const silent = () =>
      response.cancel(
        signal.aborted
          ? (signal.reason as Error)
          : new UnreachableError(what, 'DEADLINE', `silent for ${idleTimeoutMilliseconds / 1000} s`),
      );
    silence.signal.addEventListener('abort', silent, { once: true });
    const onActivity = () => silence.restart(idleTimeoutMilliseconds);
    try {
      for await (const line of readLines(response.body, maximumBytes, what, onActivity))
        yield parseEvent<T>(line, what);
    } catch (error) {
      throw signal.aborted ? error : asUnreachable(what, error);
    } finally {
      response.cancel(new Error('the watch has ended'));
    }
  }
}

/** For messages: without the query, which is long and says little. */
function nameOf(method: string, path: string): string {
  return `${method} ${path.split('?')[0]}`;
}

function needNamespace(object: AnyObject): string | undefined {
  const kind = kindOf(object);
  if (kind.namespaced && !object.metadata.namespace) {
    throw new TypeError(`${kind.kind} ${object.metadata.name} needs a namespace`);
  }
  return object.metadata.namespace;
}

function parseEvent<T>(line: string, what: string): WatchEvent<T> {
  let event: { type: string; object: T };
  try {
    event = JSON.parse(line) as { type: string; object: T };
  } catch (error) {
    throw new UnreachableError(what, 'MALFORMED', 'an event is no JSON', error);
  }
  if (event.type === 'ERROR') {
    const status = event.object as StatusBody;
    throw new KubeError(what, status.code ?? 500, status);
  }
  return event as WatchEvent<T>;
}
