/**
 * What the gateway of a light provider takes for its API server: Hawser's objects in memory, with resource versions, generations
 * and watches, and one real API server, shared by many providers, behind it for all else. It is no model of Kubernetes: it
 * answers the requests that the gateway makes, and no others.
 */
import type { AnyObject, KubeConnection, ResourcePath } from '../../gateway/kube/client.ts';

/** Told of every change; object undefined: gone. */
export type StoreHandler = (resource: ResourcePath, object: AnyObject | undefined) => void;

interface Place {
  resource: ResourcePath;
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
  readonly #objects = new Map<ResourcePath, Map<string, Stored>>();
  readonly #watchers = new Set<{ resource: ResourcePath; tell: (type: string, object: Stored) => void }>();
  readonly #handlers = new Set<StoreHandler>();
  readonly #behind: KubeConnection;
  /** Version of the last change of each kind. */
  readonly #changed = new Map<ResourcePath, number>();
  #version = 1;

  /** @param behind the real API server, for what is not of Hawser's kinds */
  constructor(behind: KubeConnection) {
    this.#behind = behind;
  }

  /** What a gateway's client is made of. */
  connection(): KubeConnection {
    return {
      server: this.#behind.server,
      token: this.#behind.token,
      fetch: (url, init) => {
        const { pathname, searchParams } = new URL(url);
        return pathname.startsWith(hawser)
          ? Promise.resolve(this.#answer(pathname, searchParams, init))
          : this.#behind.fetch(url, init);
      },
    };
  }

  list<T extends AnyObject>(resource: ResourcePath): T[] {
    return [...(this.#objects.get(resource)?.values() ?? [])] as unknown as T[];
  }

  onChange(handler: StoreHandler): void {
    this.#handlers.add(handler);
  }

  /** Writes as a controller would: whatever was there before. */
  put(resource: ResourcePath, object: AnyObject): void {
    const present = this.#objects.get(resource)?.get(object.metadata.name);
    this.#write(resource, object, present);
  }

  delete(resource: ResourcePath, name: string): void {
    const object = this.#objects.get(resource)?.get(name);
    if (object === undefined) return;
    this.#objects.get(resource)?.delete(name);
    const gone = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.#tell(resource, 'DELETED', gone);
  }

  #write(resource: ResourcePath, object: Stored, present: Stored | undefined): Stored {
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
    const objects = this.#objects.get(resource) ?? new Map<string, Stored>();
    this.#objects.set(resource, objects);
    objects.set(object.metadata.name, stored);
    this.#tell(resource, present === undefined ? 'ADDED' : 'MODIFIED', stored);
    return stored;
  }

  #tell(resource: ResourcePath, type: string, object: Stored): void {
    this.#changed.set(resource, this.#version);
    for (const watcher of this.#watchers) if (watcher.resource === resource) watcher.tell(type, object);
    for (const handler of this.#handlers) handler(resource, type === 'DELETED' ? undefined : object);
  }

  #answer(pathname: string, query: URLSearchParams, init: RequestInit): Response {
    const place = placeOf(pathname);
    if (place === undefined) return refusal(404, 'NotFound', `nothing is at ${pathname}`);
    const { resource, name } = place;
    const body = typeof init.body === 'string' ? (JSON.parse(init.body) as unknown) : undefined;
    if (name === undefined) {
      if (init.method === 'POST') return this.#create(resource, body as Stored);
      if (query.get('watch') === 'true')
        return this.#watch(resource, Number(query.get('resourceVersion')), init.signal);
      return Response.json({
        metadata: { resourceVersion: String(this.#version) },
        items: this.list(resource),
      });
    }
    const present = this.#objects.get(resource)?.get(name);
    if (present === undefined) return refusal(404, 'NotFound', `there is no ${name}`);
    if (init.method === 'PUT') return this.#replace(place, body as Stored, present);
    if (init.method === 'DELETE') {
      const wanted = (body as { preconditions?: { uid?: string } } | undefined)?.preconditions?.uid;
      if (wanted !== undefined && wanted !== present.metadata.uid)
        return refusal(409, 'Conflict', `${name} is another one by now`);
      this.delete(resource, name);
      return Response.json({ kind: 'Status', status: 'Success' });
    }
    return Response.json(present);
  }

  #create(resource: ResourcePath, object: Stored): Response {
    const { name } = object.metadata;
    if (this.#objects.get(resource)?.has(name) === true)
      return refusal(409, 'AlreadyExists', `${name} is there already`);
    return Response.json(this.#write(resource, object, undefined), { status: 201 });
  }

  /** As a kind with a status subresource: who writes the one leaves the other. */
  #replace({ resource, status }: Place, object: Stored, present: Stored): Response {
    if (object.metadata.resourceVersion !== present.metadata.resourceVersion)
      return refusal(409, 'Conflict', `${object.metadata.name} was changed meanwhile`);
    const merged = status
      ? { ...present, status: object.status }
      : { ...object, ...(present.status !== undefined && { status: present.status }) };
    return Response.json(this.#write(resource, merged, present));
  }

  /** From now on. A reader that is behind is told to list again, so that nothing need be kept. */
  #watch(resource: ResourcePath, from: number, signal: AbortSignal | null | undefined): Response {
    if (from < (this.#changed.get(resource) ?? 0))
      return refusal(410, 'Expired', `version ${from} is too old`);
    const encoder = new TextEncoder();
    let end = () => {};
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const watcher = {
          resource,
          tell: (type: string, object: Stored) =>
            controller.enqueue(encoder.encode(`${JSON.stringify({ type, object })}\n`)),
        };
        this.#watchers.add(watcher);
        end = () => this.#watchers.delete(watcher);
        signal?.addEventListener('abort', end, { once: true });
      },
      cancel: () => end(),
    });
    return new Response(stream);
  }
}

function placeOf(pathname: string): Place | undefined {
  const [, resource, name, status] = pathPattern.exec(pathname) ?? [];
  if (resource === undefined) return undefined;
  return {
    resource: resource as ResourcePath,
    name: name === undefined ? undefined : decodeURIComponent(name),
    status: status !== undefined,
  };
}

/** A metav1.Status that says no. */
function refusal(code: number, reason: string, message: string): Response {
  return Response.json({ kind: 'Status', status: 'Failure', code, reason, message }, { status: code });
}
