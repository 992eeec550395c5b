/** The little that the command needs of an API server: objects by path, and errors that a person can act on. */
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { apiVersion, type KubernetesObject } from '../shared/api/meta.ts';
import { defaultNamespace } from '../shared/names.ts';
import { text, type Invocation } from './command.ts';
import { CommandError } from './exit.ts';
import { findConnection, type Connection } from './kubeconfig.ts';

const requestMilliseconds = 15_000;
/** An API server that is busy, or has just learnt of a kind, answers 429. */
const busyAttempts = 8;
const busyMilliseconds = 250;
/** More than any list of Hawser's objects in a cluster of 128 peerings takes. */
const longestAnswer = 64 * 1024 * 1024;

/** The API server said no. */
export class KubeError extends CommandError {
  readonly status: number;
  readonly reason: string;
  constructor(message: string, status: number, reason: string) {
    super(message);
    this.name = 'KubeError';
    this.status = status;
    this.reason = reason;
  }
}

/** Which objects: the plural of the kind, and where they are. */
export interface Resource {
  /** `v1` or `group/version`. */
  apiVersion: string;
  plural: string;
  /** Absent: cluster-scoped, or over all namespaces. */
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

function pathOf({ apiVersion: version, plural, namespace }: Resource, name?: string): string {
  const parts = [version === 'v1' ? '/api/v1' : `/apis/${version}`];
  if (namespace !== undefined) parts.push('namespaces', encodeURIComponent(namespace));
  parts.push(plural);
  if (name !== undefined) parts.push(encodeURIComponent(name));
  return parts.join('/');
}

interface Line {
  connection: Connection;
  agent: Agent;
}

/** One API server, as whoever the kubeconfig says. The kubeconfig is read when something is asked, and not before. */
export class Kube {
  readonly #find: () => Promise<Connection>;
  readonly #signal: AbortSignal;
  #line: Promise<Line> | undefined;
  #context = '';
  /** Where Hawser runs. */
  readonly namespace: string;

  constructor(find: () => Promise<Connection>, namespace: string, signal: AbortSignal) {
    this.#find = find;
    this.namespace = namespace;
    this.#signal = signal;
  }

  /** For messages; empty until something was asked. */
  get context(): string {
    return this.#context;
  }

  async close(): Promise<void> {
    const line = await this.#line?.catch(() => undefined);
    line?.agent.destroy();
  }

  async #open(): Promise<Line> {
    const connection = await this.#find();
    this.#context = connection.context;
    const { ca, certificate, key, serverName, insecure } = connection;
    const agent = new Agent({
      keepAlive: true,
      rejectUnauthorized: !insecure,
      ...(ca !== undefined && { ca }),
      ...(certificate !== undefined && { cert: certificate }),
      ...(key !== undefined && { key }),
      ...(serverName !== undefined && { servername: serverName }),
    });
    return { connection, agent };
  }

  /** The object, or undefined if there is none. A kind that is not installed is none as well. */
  async get<T extends KubernetesObject>(resource: Resource, name: string): Promise<T | undefined> {
    return this.#unlessMissing(this.#ask<T>('GET', pathOf(resource, name)));
  }

  /** Objects; none of a kind that is not installed. */
  async list<T extends KubernetesObject>(resource: Resource, selector?: string): Promise<T[]> {
    const query = selector === undefined ? '' : `?labelSelector=${encodeURIComponent(selector)}`;
    const answer = await this.#unlessMissing(this.#ask<{ items: T[] }>('GET', pathOf(resource) + query));
    return answer?.items ?? [];
  }

  async create<T extends KubernetesObject>(resource: Resource, object: T): Promise<T> {
    return this.#ask<T>('POST', pathOf(resource), object);
  }

  /** JSON merge patch (RFC 7396). */
  async patch<T extends KubernetesObject>(resource: Resource, name: string, patch: object): Promise<T> {
    return this.#ask<T>('PATCH', pathOf(resource, name), patch, 'application/merge-patch+json');
  }

  /**
   * Server-side apply: makes it or brings it to what is given. For what it makes the name is known before, so that a role
   * may allow this one name.
   */
  async apply<T extends KubernetesObject>(resource: Resource, object: T): Promise<T> {
    const path = `${pathOf(resource, object.metadata.name)}?fieldManager=hawser-cli&force=true`;
    return this.#ask<T>('PATCH', path, object, 'application/apply-patch+yaml');
  }

  /** Deletes; gone already is success. */
  async remove(resource: Resource, name: string, uid?: string): Promise<void> {
    const options = { propagationPolicy: 'Background', ...(uid !== undefined && { preconditions: { uid } }) };
    await this.#unlessMissing(this.#ask('DELETE', pathOf(resource, name), options));
  }

  async #unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** One request; again when the API server is too busy to have begun with it (RFC 6585, section 4). */
  async #ask<T>(method: string, path: string, body?: object, type?: string): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#askOnce<T>(method, path, body, type);
      } catch (error) {
        if (!(error instanceof KubeError) || error.status !== 429 || attempt === busyAttempts) throw error;
        await sleep(busyMilliseconds * attempt, undefined, { signal: this.#signal });
      }
    }
  }

  async #askOnce<T>(method: string, path: string, body?: object, type = 'application/json'): Promise<T> {
    const { status, text: said } = await this.#send(method, path, requestMilliseconds, body, type);
    const answer = read(status, said);
    if (answer instanceof Error) throw answer;
    return answer.body as T;
  }

  /** What the API server answers to a GET, whatever it is; status 0: nothing, and why. Throws only when interrupted. */
  async probe(path: string, milliseconds: number): Promise<{ status: number; text: string }> {
    try {
      return await this.#send('GET', path, milliseconds);
    } catch (error) {
      if (this.#signal.aborted) throw error;
      return { status: 0, text: error instanceof Error ? error.message : String(error) };
    }
  }

  async #send(
    method: string,
    path: string,
    milliseconds: number,
    body?: object,
    type = 'application/json',
  ): Promise<{ status: number; text: string }> {
    this.#line ??= this.#open();
    const { connection, agent } = await this.#line;
    const { server, context, token } = connection;
    const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const url = new URL(server.replace(/\/$/, '') + path);
    return new Promise((resolve, reject) => {
      const outgoing = request(
        url,
        {
          method,
          agent,
          signal: this.#signal,
          timeout: milliseconds,
          headers: {
            accept: 'application/json',
            'user-agent': 'hawser-cli',
            // Node sends a body with DELETE without saying how long it is.
            ...(content !== undefined && { 'content-type': type, 'content-length': content.length }),
            ...(token !== undefined && { authorization: `Bearer ${token}` }),
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          let length = 0;
          response.on('data', (chunk: Buffer) => {
            length += chunk.length;
            if (length > longestAnswer) outgoing.destroy(new Error('the answer is too long'));
            else chunks.push(chunk);
          });
          response.once('error', reject);
          response.once('end', () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
          );
        },
      );
      outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer in ${milliseconds / 1000} s`)));
      outgoing.once('error', (error) => {
        const why = this.#signal.aborted ? 'interrupted' : error.message || String(error);
        reject(
          new CommandError(
            `the API server of context "${context}" (${url.host}) cannot be asked: ${why}`,
            undefined,
            { cause: error },
          ),
        );
      });
      outgoing.end(content);
    });
  }
}

function read(status: number, answer: string): { body: unknown } | CommandError {
  let body: unknown;
  try {
    body = JSON.parse(answer);
  } catch {
    if (status < 300) return new CommandError('the API server’s answer is no JSON; is the address right?');
    body = { message: answer.slice(0, 500) };
  }
  if (status >= 200 && status < 300) return { body };
  const said = body as { message?: string; reason?: string };
  const hint =
    status === 401
      ? '; the credentials in the kubeconfig are not valid (any more)'
      : status === 403
        ? '; ask for these rights, or choose another user with --context'
        : '';
  return new KubeError(
    `the API server answers ${status}: ${said.message ?? 'no reason given'}${hint}`,
    status,
    said.reason ?? '',
  );
}

/** Runs with the cluster that the command's options name, and closes the connection. */
export async function withKube<T>(invocation: Invocation, use: (kube: Kube) => Promise<T>): Promise<T> {
  const where = { kubeconfig: text(invocation, 'kubeconfig'), context: text(invocation, 'context') };
  return withKubeAt(invocation, where, use);
}

/** As `withKube`, with another cluster. */
export async function withKubeAt<T>(
  invocation: Invocation,
  where: { kubeconfig: string | undefined; context: string | undefined },
  use: (kube: Kube) => Promise<T>,
): Promise<T> {
  const { environment, signal } = invocation;
  const namespace = text(invocation, 'namespace') ?? environment['HAWSER_NAMESPACE'] ?? defaultNamespace;
  const kube = new Kube(() => findConnection({ ...where, environment }), namespace, signal);
  try {
    return await use(kube);
  } finally {
    await kube.close();
  }
}
