/** A client of one API server: any kind, by plain HTTP (Kubernetes API concepts), over an injected transport. */
import { isConflict, isNotFound } from './errors.ts';
import { listAll, type ListOptions, type ObjectList } from './lists.ts';
import type { KubeResponse, KubeTransport } from './port.ts';
import { collectionPath, kindOf, objectPath, refOf, type AnyObject, type KindRef, type Ref } from './refs.ts';
import { createRequests, nameOf, query, type RequestOptions } from './requests.ts';
import { watchEvents, type WatchEvent, type WatchOptions } from './watch.ts';

export type { ListOptions, Selection } from './lists.ts';
export type { RequestOptions } from './requests.ts';
export type { WatchEvent, WatchOptions } from './watch.ts';

export interface ApplyOptions {
  /** `hawser-<feature>`: owner of the object's fields. */
  fieldManager: string;
  /** Take over fields of other owners. Default true, like controllers. */
  force?: boolean;
  subresource?: string;
}

export interface DeleteOptions {
  /** Delete only the object with this UID; if another one has its name now, the call succeeds. */
  uid?: string;
  /** Delete only this version; fails with Conflict if it has changed since. */
  resourceVersion?: string;
  propagation?: 'Foreground' | 'Background' | 'Orphan';
  gracePeriodSeconds?: number;
}

/**
 * All requests of Hawser to an API server. Errors: KubeError for an unsuccessful response, UnreachableError without a response,
 * and the signal's reason after an abort.
 */
export interface KubeClient<R extends KubeResponse = KubeResponse> {
  /** Returns undefined for a 404. */
  get<T extends AnyObject>(ref: Ref<T>, signal: AbortSignal): Promise<T | undefined>;
  /** Returns all pages, unless fewer objects are requested. */
  list<T extends AnyObject>(
    kind: KindRef<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): Promise<ObjectList<T>>;
  /** Fails with AlreadyExists. `metadata.generateName` works. */
  create<T extends AnyObject>(
    object: T,
    signal: AbortSignal,
    options?: { fieldManager?: string },
  ): Promise<T>;
  /** Like `create`, for a kind that the object need not name. */
  createIn<T extends AnyObject>(
    kind: KindRef<T>,
    namespace: string | undefined,
    object: T,
    signal: AbortSignal,
  ): Promise<T>;
  /** Server-side apply: creates the object, or changes exactly its fields. */
  apply<T extends AnyObject>(object: T, options: ApplyOptions, signal: AbortSignal): Promise<T>;
  patch<T extends AnyObject>(
    ref: Ref<T>,
    patch: unknown,
    options: { type: 'merge' | 'json' | 'strategic' | 'apply'; subresource?: string; fieldManager?: string },
    signal: AbortSignal,
  ): Promise<T>;
  /** Fails with Conflict if the object has another resourceVersion now. */
  replace<T extends AnyObject>(
    object: T,
    options: { subresource?: string; fieldManager?: string },
    signal: AbortSignal,
  ): Promise<T>;
  /** Succeeds if the object is gone. Returns when the server accepted the request; finalizers may take longer. */
  delete(ref: Ref, options: DeleteOptions, signal: AbortSignal): Promise<void>;
  /** POST to a subresource, such as `pods/eviction` or `serviceaccounts/token`. */
  createSubresource<R = unknown>(
    ref: Ref,
    subresource: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<R>;
  /** For informers. Ends when the server ends the watch; an ERROR event is thrown as KubeError (410: list again). */
  watch<T extends AnyObject>(
    kind: KindRef<T>,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  /** Sends any request and reads the complete answer: for paths without objects, such as `/version`, and for probes. */
  text(
    method: string,
    path: string,
    options: RequestOptions & { maximumBytes?: number },
    signal: AbortSignal,
  ): Promise<{ status: number; text: string }>;
  /** Sends any request and returns the response with its body as a stream: logs, `/readyz`, metrics. */
  raw(method: string, path: string, options: RequestOptions, signal: AbortSignal): Promise<R>;
  readonly url: string;
  /** Closes idle connections; the client can still be used. */
  close(): void;
}

export interface ClientOptions {
  /** Timeout of each request, except watches and raw ones. Default 30 s. */
  timeoutMilliseconds?: number;
  /** Largest response, and largest event of a watch. Default 64 MiB. */
  maximumBytes?: number;
  /**
   * Largest page of a list; if a page is larger, fewer objects are requested. Default 16 MiB: a page is parsed as a whole, in
   * addition to everything in memory.
   */
  maximumPageBytes?: number;
  /** Largest list, all pages together. Default: no limit, for the own cluster's API server. */
  maximumListBytes?: number;
  /** Owner of the fields that `create`, `replace` and `patch` write, if the call names none. */
  fieldManager?: string;
  /** Default `hawser`. */
  userAgent?: string;
}

const patchTypes = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  /** Server-side apply by reference, with force. */
  apply: 'application/apply-patch+yaml',
} as const;

/** Creates a client. It connects with the first request. */
export function createKubeClient<R extends KubeResponse>(
  transport: KubeTransport<R>,
  options: ClientOptions = {},
): KubeClient<R> {
  const {
    timeoutMilliseconds = 30_000,
    maximumBytes = 64 << 20,
    maximumListBytes = Infinity,
    userAgent = 'hawser',
  } = options;
  const maximumPageBytes = Math.min(maximumBytes, options.maximumPageBytes ?? 16 << 20);
  const bounds = { maximumBytes, maximumPageBytes, maximumListBytes };
  const requests = createRequests(transport, { timeoutMilliseconds, maximumBytes, userAgent });
  const { send, read, json } = requests;
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
    list: (kind, listOptions, signal) => listAll(requests, kind, listOptions, bounds, signal),
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
        // Another object has the name now, or this one is being deleted: both count as success.
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
    watch: (kind, watchOptions, signal) => watchEvents(requests, kind, watchOptions, maximumBytes, signal),
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
}

function needNamespace(object: AnyObject): string | undefined {
  const kind = kindOf(object);
  if (kind.namespaced && !object.metadata.namespace) {
    throw new TypeError(`${kind.kind} ${object.metadata.name} needs a namespace`);
  }
  return object.metadata.namespace;
}
