/** Requests to an API server with a client certificate and the cluster's own CA, without a library. */
import { Agent, request } from 'node:https';

export interface ApiAccess {
  url: string;
  /** PEM. */
  authority: string;
  certificate?: string;
  key?: string;
  token?: string;
}

export interface ApiAnswer {
  status: number;
  body: string;
}

/** An agent for all requests to one API server; destroy it afterwards. */
export function agentFor(access: ApiAccess): Agent {
  return new Agent({
    keepAlive: true,
    ca: access.authority,
    ...(access.certificate !== undefined && { cert: access.certificate }),
    ...(access.key !== undefined && { key: access.key }),
  });
}

/** Sends one request. Throws only without a response; any status is a response. */
export function askApi(
  access: ApiAccess,
  method: string,
  path: string,
  options: {
    agent?: Agent;
    body?: unknown;
    contentType?: string;
    timeoutMilliseconds?: number;
    signal?: AbortSignal;
  } = {},
): Promise<ApiAnswer> {
  const own = options.agent === undefined ? agentFor(access) : undefined;
  const agent = options.agent ?? own;
  return new Promise<ApiAnswer>((resolve, reject) => {
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    const outgoing = request(
      new URL(path, access.url),
      {
        method,
        agent,
        timeout: options.timeoutMilliseconds ?? 10_000,
        signal: options.signal,
        headers: {
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': options.contentType ?? 'application/json' }),
          ...(access.token !== undefined && { authorization: `Bearer ${access.token}` }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
        );
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${method} ${path}: no answer in time`)));
    outgoing.on('error', reject);
    outgoing.end(body);
  }).finally(() => own?.destroy());
}

/** Creates an object unless it exists. */
export async function createIfMissing(
  access: ApiAccess,
  path: string,
  object: object,
  options: { agent?: Agent; signal?: AbortSignal } = {},
): Promise<void> {
  const answer = await askApi(access, 'POST', path, { ...options, body: object });
  if (answer.status === 409 || (answer.status >= 200 && answer.status < 300)) return;
  throw new Error(`POST ${path} was answered with ${answer.status}: ${answer.body.slice(0, 500)}`);
}
