/**
 * The API server of a light provider's API gateway: keeps Hawser's objects in memory, with resource versions, generations and
 * watches, and forwards everything else to one real API server that many providers share. It is no model of Kubernetes: it only
 * answers the requests of the API gateway.
 */
import type { KubeRequest, KubeResponse, KubeTransport } from '../../shared/kube/port.ts';
import { collectionPath, kindOf, type AnyObject, type KindRef } from '../../shared/kube/refs.ts';

/** Called after every change; object undefined: deleted. */
export type StoreHandler = (kind: KindRef, object: AnyObject | undefined) => void;

interface Place {
  collection: string;
  name: string | undefined;
  status: boolean;
}

interface Stored extends AnyObject {
  spec?: unknown;
  status?: unknown;
}

const hawser = '/apis/hawser.dev/';
/** Collection, name, subresource; with a namespace or without. */
const pathPattern = /^(\/apis\/[^/]+\/[^/]+(?:\/namespaces\/[^/]+)?\/[^/]+)(?:\/([^/]+))?(\/status)?$/;

export class LightStore {
  readonly #objects = new Map<string, Map<string, Stored>>();
  readonly #watchers = new Set<{ collection: string; tell: (type: string, object: Stored) => void }>();
  readonly #handlers = new Set<StoreHandler>();
  readonly #behind: KubeTransport;
  /** Version of the last change of each kind. */
  readonly #changed = new Map<string, number>();
  #version = 1;

  /** @param behind the real API server, for kinds other than Hawser's */
  constructor(behind: KubeTransport) {
    this.#behind = behind;
  }

  /** The transport of a gateway's client. */
  transport(): KubeTransport {
    return {
      url: this.#behind.url,
      send: (request, signal) => {
        const { pathname, searchParams } = new URL(request.path, this.#behind.url);
        return pathname.startsWith(hawser)
          ? Promise.resolve(this.#answer(pathname, searchParams, request, signal))
          : this.#behind.send(request, signal);
      },
      close: () => this.#behind.close(),
    };
  }

  /** Lists objects of a cluster-scoped kind. */
  list<T extends AnyObject>(kind: KindRef<T>): T[] {
    return this.#list(collectionPath(kind)) as unknown as T[];
  }

  onChange(handler: StoreHandler): void {
    this.#handlers.add(handler);
  }

  /** Creates or replaces an object without checks, like a controller. */
  put(object: AnyObject): void {
    const present = this.#objects.get(collectionOf(object))?.get(object.metadata.name);
    this.#write(object, present);
  }

  #list(collection: string): Stored[] {
    return [...(this.#objects.get(collection)?.values() ?? [])];
  }

  #delete(present: Stored): void {
    this.#objects.get(collectionOf(present))?.delete(present.metadata.name);
    this.#tell('DELETED', {
      ...present,
      metadata: { ...present.metadata, resourceVersion: String(++this.#version) },
    });
  }

  #write(object: Stored, present: Stored | undefined): Stored {
    const changed = JSON.stringify(object.spec) !== JSON.stringify(present?.spec);
    const stored: Stored = {
      ...object,
      metadata: {
        ...object.metadata,
        uid: present?.metadata.uid ?? crypto.randomUUID(),
        creationTimestamp: present?.metadata.creationTimestamp ?? new Date().toISOString(),
        generation: (present?.metadata.generation ?? 0) + Number(changed),
        resourceVersion: String(++this.#version),
      },
    };
    const collection = collectionOf(stored);
    const objects = this.#objects.get(collection) ?? new Map<string, Stored>();
    this.#objects.set(collection, objects);
    objects.set(object.metadata.name, stored);
    this.#tell(present === undefined ? 'ADDED' : 'MODIFIED', stored);
    return stored;
  }

  #tell(type: string, object: Stored): void {
    const collection = collectionOf(object);
    this.#changed.set(collection, this.#version);
    for (const watcher of this.#watchers) if (watcher.collection === collection) watcher.tell(type, object);
    for (const handler of this.#handlers) handler(kindOf(object), type === 'DELETED' ? undefined : object);
  }

  #answer(
    pathname: string,
    query: URLSearchParams,
    { method, body: text }: KubeRequest,
    signal: AbortSignal,
  ): KubeResponse {
    const place = placeOf(pathname);
    if (place === undefined) return refusal(404, 'NotFound', `nothing is at ${pathname}`);
    const { collection, name } = place;
    const body = typeof text === 'string' ? (JSON.parse(text) as unknown) : undefined;
    if (name === undefined) {
      if (method === 'POST') return this.#create(body as Stored);
      if (query.has('watch')) return this.#watch(collection, Number(query.get('resourceVersion')), signal);
      return answer(200, {
        metadata: { resourceVersion: String(this.#version) },
        items: this.#list(collection),
      });
    }
    const present = this.#objects.get(collection)?.get(name);
    if (present === undefined) return refusal(404, 'NotFound', `there is no ${name}`);
    if (method === 'PUT') return this.#replace(place, body as Stored, present);
    if (method === 'DELETE') {
      const uid = (body as { preconditions?: { uid?: string } } | undefined)?.preconditions?.uid;
      if (uid !== undefined && uid !== present.metadata.uid)
        return refusal(409, 'Conflict', `${name} is another one by now`);
      this.#delete(present);
      return answer(200, { kind: 'Status', status: 'Success' });
    }
    return answer(200, present);
  }

  #create(object: Stored): KubeResponse {
    const { name } = object.metadata;
    if (this.#objects.get(collectionOf(object))?.has(name) === true)
      return refusal(409, 'AlreadyExists', `${name} is there already`);
    return answer(201, this.#write(object, undefined));
  }

  /** Like a kind with a status subresource: a write of one part keeps the other. */
  #replace({ status }: Place, object: Stored, present: Stored): KubeResponse {
    if (object.metadata.resourceVersion !== present.metadata.resourceVersion)
      return refusal(409, 'Conflict', `${object.metadata.name} was changed meanwhile`);
    const merged = status
      ? { ...present, status: object.status }
      : { ...object, ...(present.status !== undefined && { status: present.status }) };
    return answer(200, this.#write(merged, present));
  }

  /** Watches from now on. A client with an older version must list again, so that no history is kept. */
  #watch(collection: string, from: number, signal: AbortSignal): KubeResponse {
    if (from < (this.#changed.get(collection) ?? 0))
      return refusal(410, 'Expired', `version ${from} is too old`);
    const encoder = new TextEncoder();
    let end: (reason: Error) => void = () => undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const watcher = {
          collection,
          tell: (type: string, object: Stored) =>
            controller.enqueue(encoder.encode(`${JSON.stringify({ type, object })}\n`)),
        };
        this.#watchers.add(watcher);
        const aborted = () => end(signal.reason as Error);
        end = (reason) => {
          signal.removeEventListener('abort', aborted);
          if (this.#watchers.delete(watcher)) controller.error(reason);
        };
        signal.addEventListener('abort', aborted, { once: true });
      },
      cancel: () => end(new Error('the watch has ended')),
    });
    return { status: 200, header: () => undefined, body, cancel: (reason) => end(reason) };
  }
}

const collectionOf = (object: AnyObject): string => collectionPath(kindOf(object), object.metadata.namespace);

function placeOf(pathname: string): Place | undefined {
  const [, collection, name, status] = pathPattern.exec(pathname) ?? [];
  if (collection === undefined) return undefined;
  return {
    collection,
    name: name === undefined ? undefined : decodeURIComponent(name),
    status: status !== undefined,
  };
}

function answer(status: number, value: unknown): KubeResponse {
  return {
    status,
    header: () => undefined,
    body: (async function* body() {
      yield new TextEncoder().encode(JSON.stringify(value));
    })(),
    cancel: () => undefined,
  };
}

/** A metav1.Status of a failure. */
function refusal(code: number, reason: string, message: string): KubeResponse {
  return answer(code, { kind: 'Status', status: 'Failure', code, reason, message });
}
