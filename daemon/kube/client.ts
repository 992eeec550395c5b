/** A client of one API server: any kind, by plain HTTP (Kubernetes API concepts). */
import { StringDecoder } from 'node:string_decoder';
import { KubeError, UnreachableError, isConflict, isNotFound, type StatusBody } from './errors.ts';
import { collectionPath, kindOf, objectPath, refOf, type AnyObject, type KindRef, type Ref } from './refs.ts';
import {
  createTransport,
  readBody,
  statusError,
  type Answer,
  type KubeConnection,
  type RequestOptions,
  type Transport,
} from './transport.ts';

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
export interface KubeClient {
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
  /** Server-side apply: creates or changes what the object says, and nothing else. */
  apply<T extends AnyObject>(object: T, options: ApplyOptions, signal: AbortSignal): Promise<T>;
  patch<T extends AnyObject>(
    ref: Ref<T>,
    patch: unknown,
    options: { type: 'merge' | 'json' | 'strategic'; subresource?: string; fieldManager?: string },
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
  /** Any request, any answer, with its body as a stream: logs, `/readyz`, metrics. */
  raw(method: string, path: string, options: RequestOptions, signal: AbortSignal): Promise<Answer>;
  /** Switches protocols: exec, attach, port-forward. */
  upgrade: Transport['upgrade'];
  readonly url: string;
  /** Closes idle connections; the client can still be used. */
  close(): void;
}

export interface ClientOptions {
  /** Of each request but watches and raw ones. Default 30 s. */
  timeoutMilliseconds?: number;
  /** Largest answer, and largest event of a watch. Default 64 MiB. */
  maximumBytes?: number;
  /** Largest list, all pages together. Default: no limit, for an API server of one's own. */
  maximumListBytes?: number;
}

const pageSize = 500;
const patchTypes = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const;

function query(parameters: Record<string, string | undefined>): string {
  const text = Object.entries(parameters)
    .filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  return text === '' ? '' : `?${text}`;
}

/** Makes a client. Nothing is dialled before the first request. */
export function createKubeClient(connection: KubeConnection, options: ClientOptions = {}): KubeClient {
  const { timeoutMilliseconds = 30_000, maximumBytes = 64 << 20, maximumListBytes = Infinity } = options;
  const transport = createTransport(connection);

  async function json<R>(
    method: string,
    path: string,
    more: RequestOptions,
    signal: AbortSignal,
    onLength?: (length: number) => void,
  ): Promise<R> {
    const what = `${method} ${path.split('?')[0]}`;
    const answer = await transport.request(method, path, { timeoutMilliseconds, ...more }, signal);
    // The headers came in time; a body that stalls must not wait for ever either.
    const timer = setTimeout(
      () => answer.destroy(new UnreachableError(what, 'DEADLINE', 'the answer stopped half-way')),
      timeoutMilliseconds,
    );
    try {
      const text = await readBody(answer, maximumBytes, what);
      onLength?.(text.length);
      const status = answer.statusCode ?? 0;
      if (status < 200 || status > 299) throw statusError(what, answer, text);
      return (text === '' ? undefined : JSON.parse(text)) as R;
    } finally {
      clearTimeout(timer);
    }
  }

  const client: KubeClient = {
    url: connection.url,
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
      let bytes = 0;
      const collection = collectionPath(kind, namespace);
      for (let token: string | undefined; ;) {
        const parameters = { ...selectors, limit: String(pageSize), continue: token };
        const page = await json<{ metadata: { resourceVersion: string; continue?: string }; items: T[] }>(
          'GET',
          collection + query(parameters),
          {},
          signal,
          (length) => {
            bytes += length;
            // Each page is bounded, and so must be how many there are.
            if (bytes > maximumListBytes)
              throw new UnreachableError(
                `LIST ${collection}`,
                'TOO_LARGE',
                `a list of more than ${maximumListBytes} bytes`,
              );
          },
        );
        for (const item of page.items ?? []) {
          item.apiVersion = kind.apiVersion;
          item.kind = kind.kind;
          items.push(item);
        }
        token = page.metadata.continue;
        if (!token) return { items, resourceVersion: page.metadata.resourceVersion };
      }
    },
    create: (object, signal, more = {}) =>
      json(
        'POST',
        collectionPath(kindOf(object), needNamespace(object)) + query({ fieldManager: more.fieldManager }),
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
        objectPath(ref, subresource) + query({ fieldManager }),
        { body: JSON.stringify(patch), contentType: patchTypes[type] },
        signal,
      ),
    replace: (object, { subresource, fieldManager }, signal) =>
      json(
        'PUT',
        objectPath(refOf(object), subresource) + query({ fieldManager }),
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
    watch: (kind, watchOptions, signal) => watch(transport, kind, watchOptions, maximumBytes, signal),
    raw: (method, path, requestOptions, signal) => transport.request(method, path, requestOptions, signal),
    upgrade: (...request) => transport.upgrade(...request),
    close: () => transport.close(),
  };
  return client;
}

function needNamespace(object: AnyObject): string | undefined {
  const kind = kindOf(object);
  if (kind.namespaced && !object.metadata.namespace) {
    throw new TypeError(`${kind.kind} ${object.metadata.name} needs a namespace`);
  }
  return object.metadata.namespace;
}

async function* watch<T extends AnyObject>(
  transport: Transport,
  kind: KindRef<T>,
  { namespace, timeoutSeconds, idleTimeoutMilliseconds, ...selectors }: WatchOptions,
  maximumBytes: number,
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
  const answer = await transport.request('GET', collection + query(parameters), {}, signal);
  if (answer.statusCode !== 200) throw statusError(what, answer, await readBody(answer, 65_536, what));
  const silence = () =>
    answer.destroy(new UnreachableError(what, 'DEADLINE', `silent for ${idleTimeoutMilliseconds / 1000} s`));
  let timer = setTimeout(silence, idleTimeoutMilliseconds);
  const decoder = new StringDecoder('utf8');
  let pending = '';
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      timer.refresh();
      pending += decoder.write(chunk);
      if (pending.length > maximumBytes)
        throw new UnreachableError(what, 'TOO_LARGE', 'an event without end');
      let from = 0;
      for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n', from)) {
        if (end > from) yield parseEvent<T>(pending.slice(from, end), what);
        from = end + 1;
      }
      pending = pending.slice(from);
    }
  } catch (error) {
    if (signal.aborted || error instanceof KubeError || error instanceof UnreachableError) throw error;
    const { code = 'FAILED', message } = error as NodeJS.ErrnoException;
    throw new UnreachableError(what, code, message, error);
  } finally {
    clearTimeout(timer);
    answer.destroy();
  }
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
