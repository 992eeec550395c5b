/**
 * The command's access to API servers: objects by the plural of their kind, and errors that a person can act on. Uses the
 * same client as the other processes (`shared/kube/`).
 */
import { connectKube, type NodeKubeClient } from '../daemon/clients/kubernetes/index.ts';
import {
  KubeconfigError,
  loadKubeconfig,
  type KubeconfigConnection,
} from '../daemon/clients/kubernetes/kubeconfig.ts';
import { apiVersion, type KubernetesObject } from '../shared/api/meta.ts';
import {
  KubeError,
  UnreachableError,
  isForbidden,
  isNotFound,
  isUnauthorized,
} from '../shared/kube/errors.ts';
import type { KindRef } from '../shared/kube/refs.ts';
import { defaultNamespace } from '../shared/names.ts';
import { sleep } from '../shared/time.ts';
import { text, type Invocation } from './command.ts';
import { CommandError, UsageError } from './exit.ts';

const requestMilliseconds = 15_000;
/** A busy API server, or one that just installed a CRD, answers 429. */
const busyAttempts = 8;
const busyMilliseconds = 250;

/** The API server's answer, if that is why the command failed. */
export function answerOf(error: unknown): KubeError | undefined {
  return error instanceof CommandError && error.cause instanceof KubeError ? error.cause : undefined;
}

/** The plural of a kind, its API version and namespace. */
export interface Resource {
  /** `v1` or `group/version`. */
  apiVersion: string;
  plural: string;
  /** Absent for cluster-scoped objects, or for all namespaces. */
  namespace?: string;
}

export const hawser = (plural: string, namespace?: string): Resource => ({
  apiVersion,
  plural,
  ...(namespace !== undefined && { namespace }),
});
export const core = (plural: string, namespace?: string): Resource => ({
  apiVersion: 'v1',
  plural,
  ...(namespace !== undefined && { namespace }),
});

/** The kind in the client's form. Its name matters only in answers, where the API server sets it anyway. */
function kindOf<T extends KubernetesObject>({
  apiVersion: version,
  plural,
  namespace,
}: Resource): KindRef<T> {
  return { apiVersion: version, plural, kind: '', namespaced: namespace !== undefined };
}

interface Line {
  connection: KubeconfigConnection;
  client: NodeKubeClient;
}

/** One API server with the credentials of the kubeconfig, which is read at the first request. */
export class Kube {
  readonly #find: () => Promise<KubeconfigConnection>;
  readonly #signal: AbortSignal;
  #line: Promise<Line> | undefined;
  #context = '';
  /** Hawser's namespace. */
  readonly namespace: string;

  constructor(find: () => Promise<KubeconfigConnection>, namespace: string, signal: AbortSignal) {
    this.#find = find;
    this.namespace = namespace;
    this.#signal = signal;
  }

  /** For messages; empty before the first request. */
  get context(): string {
    return this.#context;
  }

  async close(): Promise<void> {
    const line = await this.#line?.catch(() => undefined);
    line?.client.close();
  }

  async #open(): Promise<Line> {
    try {
      const connection = await this.#find();
      this.#context = connection.context;
      const client = connectKube(connection, {
        timeoutMilliseconds: requestMilliseconds,
        fieldManager: 'hawser-cli',
        userAgent: 'hawser-cli',
      });
      return { connection, client };
    } catch (error) {
      if (!(error instanceof KubeconfigError)) throw error;
      throw error.unknownContext
        ? new UsageError(error.message)
        : new CommandError(error.message, undefined, { cause: error });
    }
  }

  /** The URL of the API server. */
  async server(): Promise<string> {
    return (await (this.#line ??= this.#open())).connection.url;
  }

  /** The object; undefined if it, or its kind, does not exist. */
  get<T extends KubernetesObject>(resource: Resource, name: string): Promise<T | undefined> {
    return this.#ask((client) => client.get<T>({ ...resource, kind: kindOf(resource), name }, this.#signal));
  }

  /** All objects; none if the kind is not installed. */
  async list<T extends KubernetesObject>(resource: Resource, selector?: string): Promise<T[]> {
    const options = {
      ...(resource.namespace !== undefined && { namespace: resource.namespace }),
      ...(selector !== undefined && { labelSelector: selector }),
    };
    return this.#ask(async (client) => {
      try {
        return (await client.list<T>(kindOf(resource), options, this.#signal)).items;
      } catch (error) {
        if (isNotFound(error)) return [];
        throw error;
      }
    });
  }

  create<T extends KubernetesObject>(resource: Resource, object: T): Promise<T> {
    return this.#ask((client) =>
      client.createIn<T>(kindOf(resource), resource.namespace, object, this.#signal),
    );
  }

  /** JSON merge patch (RFC 7396). */
  patch<T extends KubernetesObject>(resource: Resource, name: string, patch: object): Promise<T> {
    const ref = { ...resource, kind: kindOf<T>(resource), name };
    return this.#ask((client) => client.patch<T>(ref, patch, { type: 'merge' }, this.#signal));
  }

  /**
   * Server-side apply: creates or updates the object. The name is known in advance, so that a role may allow only this
   * name.
   */
  apply<T extends KubernetesObject>(resource: Resource, object: T): Promise<T> {
    const ref = { ...resource, kind: kindOf<T>(resource), name: object.metadata.name };
    return this.#ask((client) => client.patch<T>(ref, object, { type: 'apply' }, this.#signal));
  }

  /** Deletes the object; succeeds if it does not exist. */
  remove(resource: Resource, name: string, uid?: string): Promise<void> {
    const ref = { ...resource, kind: kindOf(resource), name };
    const options = { propagation: 'Background' as const, ...(uid !== undefined && { uid }) };
    return this.#ask((client) => client.delete(ref, options, this.#signal));
  }

  /** The API server's answer to a GET; with status 0 the reason why there was none. Throws only when interrupted. */
  async probe(path: string, milliseconds: number): Promise<{ status: number; text: string }> {
    try {
      const { client } = await (this.#line ??= this.#open());
      return await client.text('GET', path, { timeoutMilliseconds: milliseconds }, this.#signal);
    } catch (error) {
      if (this.#signal.aborted) throw error;
      return { status: 0, text: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Sends a request; repeats it while the API server answers 429 (RFC 6585, section 4). */
  async #ask<T>(request: (client: NodeKubeClient) => Promise<T>): Promise<T> {
    const { client, connection } = await (this.#line ??= this.#open());
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await request(client);
      } catch (error) {
        const busy = error instanceof KubeError && error.status === 429 && attempt < busyAttempts;
        if (!busy || this.#signal.aborted) throw this.#explain(error, connection);
        await sleep(busyMilliseconds * attempt, this.#signal);
      }
    }
  }

  #explain(error: unknown, { context, url }: KubeconfigConnection): unknown {
    const explained = (message: string) => new CommandError(message, undefined, { cause: error });
    if (error instanceof KubeError) {
      const hint = isUnauthorized(error)
        ? '; the credentials in the kubeconfig are not valid (any more)'
        : isForbidden(error)
          ? '; ask for these rights, or choose another user with --context'
          : '';
      return explained(`the API server answers ${error.status}: ${error.detail}${hint}`);
    }
    // The error of a credential plugin is shown as it is.
    if (error instanceof KubeconfigError) return explained(error.message);
    const unreachable = error instanceof UnreachableError || this.#signal.aborted;
    if (!unreachable) return error;
    const why = this.#signal.aborted ? 'interrupted' : (error as UnreachableError).detail;
    return explained(`cannot reach the API server of context "${context}" (${new URL(url).host}): ${why}`);
  }
}

/** Runs a function with the cluster that the command's options select, and closes the connection. */
export async function withKube<T>(invocation: Invocation, use: (kube: Kube) => Promise<T>): Promise<T> {
  const where = { kubeconfig: text(invocation, 'kubeconfig'), context: text(invocation, 'context') };
  return withKubeAt(invocation, where, use);
}

/** Like `withKube`, with another cluster. */
export async function withKubeAt<T>(
  invocation: Invocation,
  where: { kubeconfig: string | undefined; context: string | undefined },
  use: (kube: Kube) => Promise<T>,
): Promise<T> {
  const { environment, signal } = invocation;
  const namespace = text(invocation, 'namespace') ?? environment['HAWSER_NAMESPACE'] ?? defaultNamespace;
  const kube = new Kube(() => loadKubeconfig({ ...where, environment }), namespace, signal);
  try {
    return await use(kube);
  } finally {
    await kube.close();
  }
}
