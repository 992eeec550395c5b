/**
 * HTTPS to one API server: keep-alive connections, credentials, deadlines. By `node:https`, because a typed client of
 * the whole API costs a process about 80 MB that the few dozen requests of Hawser don't need.
 */
import {
  Agent as PlainAgent,
  request as plainRequest,
  type ClientRequest,
  type IncomingMessage,
} from 'node:http';
import { Agent, request as tlsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext } from 'node:tls';
import { KubeError, UnreachableError, type StatusBody } from './errors.ts';

/** How to reach an API server and as whom. Secrets stay in memory. */
export interface KubeConnection {
  /** `https://host:port`, with a path if it is behind one. */
  url: string;
  /** PEM; absent: the system's roots. */
  ca?: string;
  /** Name in the server's certificate, when the URL has another one. */
  tlsServerName?: string;
  clientCertificate?: { certificate: string; key: string };
  /** Asked before each request; may change over time. */
  token?: () => string | undefined | Promise<string | undefined>;
  /** Only of a kubeconfig that says so. */
  skipTLSVerify?: boolean;
  /** More headers, such as those that a kubeconfig's plugin wants. */
  headers?: Record<string, string>;
}

export interface RequestOptions {
  /** JSON text or bytes. */
  body?: string | Uint8Array;
  contentType?: string;
  headers?: Record<string, string>;
  /** Until the answer's headers are there. Default 30 s. */
  timeoutMilliseconds?: number;
}

/** An answer whose body has not been read; whoever gets it reads it to the end or destroys it. */
export type Answer = IncomingMessage;

export interface Transport {
  request(method: string, path: string, options: RequestOptions, signal: AbortSignal): Promise<Answer>;
  /** Switches protocols (RFC 9110, section 7.8): exec, attach and port-forward. Fails with KubeError unless 101. */
  upgrade(
    method: string,
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<{ socket: Duplex; head: Buffer; headers: Record<string, string | string[] | undefined> }>;
  /** Closes idle connections. */
  close(): void;
}

const defaultTimeout = 30_000;
const userAgent = 'hawser';
/** A peer that vanished without a word is noticed by TCP within a minute or so even when nothing else is sent. */
const keepAliveMilliseconds = 15_000;
/** Shorter than Go's idle timeout of servers, so that we close first. */
const idleMilliseconds = 45_000;

/** As many as controllers work at a time: what is closed between two bursts is dialled, and its TLS done, in the next one. */
const idleConnections = 32;

/** Makes the transport of one API server. Nothing is dialled before the first request. */
export function createTransport(connection: KubeConnection): Transport {
  const base = new URL(connection.url);
  const secure = base.protocol === 'https:';
  const prefix = base.pathname.replace(/\/$/, '');
  const common = {
    keepAlive: true,
    keepAliveMsecs: keepAliveMilliseconds,
    maxFreeSockets: idleConnections,
    scheduling: 'lifo' as const,
    timeout: idleMilliseconds,
  };
  const agent = secure
    ? new Agent({
        ...common,
        ...(connection.tlsServerName !== undefined && { servername: connection.tlsServerName }),
        rejectUnauthorized: connection.skipTLSVerify !== true,
        maxCachedSessions: 8,
      })
    : new PlainAgent(common);
  let context: SecureContext | undefined;
  /** Made once: certificates are parsed for it, and there are many connections. Throws for what is no certificate. */
  const secureContext = () =>
    (context ??= createSecureContext({
      minVersion: 'TLSv1.2',
      ...(connection.ca !== undefined && { ca: connection.ca }),
      ...(connection.clientCertificate && {
        cert: connection.clientCertificate.certificate,
        key: connection.clientCertificate.key,
      }),
    }));

  async function start(method: string, path: string, headers: Record<string, string>, signal: AbortSignal) {
    signal.throwIfAborted();
    const token = await connection.token?.();
    const request = (secure ? tlsRequest : plainRequest)({
      agent,
      ...(secure && { secureContext: secureContext() }),
      method,
      host: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port || (secure ? 443 : 80),
      path: prefix + path,
      headers: {
        'user-agent': userAgent,
        accept: 'application/json',
        ...connection.headers,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
    return request;
  }

  async function once(
    method: string,
    path: string,
    options: RequestOptions,
    signal: AbortSignal,
  ): Promise<Answer> {
    const {
      body,
      contentType = 'application/json',
      headers = {},
      timeoutMilliseconds = defaultTimeout,
    } = options;
    const what = `${method} ${path.split('?')[0]}`;
    const request = await start(
      method,
      path,
      {
        ...(body !== undefined && {
          'content-type': contentType,
          'content-length': String(Buffer.byteLength(body)),
        }),
        ...headers,
      },
      signal,
    );
    return new Promise<Answer>((resolve, reject) => {
      const release = abortable(request, what, timeoutMilliseconds, signal);
      request.once('response', (answer) => {
        release.timer();
        answer.once('close', release.signal);
        resolve(answer);
      });
      request.once('error', (error: NodeJS.ErrnoException) => {
        release.timer();
        release.signal();
        reject(asFailure(error, what, signal, request));
      });
      request.end(body);
    });
  }

  return {
    async request(method, path, options, signal) {
      try {
        return await once(method, path, options, signal);
      } catch (error) {
        // A kept connection that the server closed just now: only a request that may be repeated is (RFC 9110, 9.2.2).
        if (error instanceof UnreachableError && error.code === 'STALE_CONNECTION' && method !== 'POST') {
          return once(method, path, options, signal);
        }
        throw error;
      }
    },
    async upgrade(method, path, headers, signal) {
      const what = `${method} ${path.split('?')[0]}`;
      // What comes is a stream: to a request for JSON the API server answers 406.
      const request = await start(method, path, { accept: '*/*', connection: 'Upgrade', ...headers }, signal);
      return new Promise((resolve, reject) => {
        const release = abortable(request, what, defaultTimeout, signal);
        const settle = () => {
          release.timer();
          release.signal();
        };
        request.once('upgrade', (answer, socket, head) => {
          settle();
          resolve({ socket, head, headers: answer.headers });
        });
        request.once('response', (answer) => {
          settle();
          readBody(answer, 65_536, what).then(
            (text) => reject(statusError(what, answer, text)),
            (error: unknown) => reject(error as Error),
          );
        });
        request.once('error', (error: NodeJS.ErrnoException) => {
          settle();
          reject(asFailure(error, what, signal, request));
        });
        request.end();
      });
    },
    close: () => agent.destroy(),
  };
}

/** Ends the request when time is over (until `timer()`) or the signal is aborted (until `signal()`). */
function abortable(request: ClientRequest, what: string, milliseconds: number, signal: AbortSignal) {
  const onAbort = () =>
    request.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
  signal.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(
    () =>
      request.destroy(new UnreachableError(what, 'DEADLINE', `nothing came within ${milliseconds / 1000} s`)),
    milliseconds,
  );
  return {
    timer: () => clearTimeout(timer),
    signal: () => signal.removeEventListener('abort', onAbort),
  };
}

function asFailure(
  error: NodeJS.ErrnoException,
  what: string,
  signal: AbortSignal,
  request: ClientRequest,
): Error {
  if (signal.aborted || error instanceof UnreachableError) return error;
  const stale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
  return new UnreachableError(
    what,
    stale ? 'STALE_CONNECTION' : (error.code ?? 'FAILED'),
    error.message,
    error,
  );
}

/** The whole body as text. Fails beyond the limit: an API server of another cluster is not to be trusted. */
export async function readBody(answer: Answer, limit: number, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit)
        throw new UnreachableError(what, 'TOO_LARGE', `the answer is larger than ${limit} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof UnreachableError) throw error;
    const { code = 'FAILED', message } = error as NodeJS.ErrnoException;
    throw new UnreachableError(what, code, message, error);
  }
  return chunks.length === 1 ? chunks[0]!.toString('utf8') : Buffer.concat(chunks).toString('utf8');
}

/** The error that an answer outside 2xx stands for. */
export function statusError(what: string, answer: Answer, text: string): KubeError {
  let body: StatusBody = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) body = parsed;
  } catch {
    body = { message: text.slice(0, 500) };
  }
  const after = Number(answer.headers['retry-after']);
  return new KubeError(
    what,
    answer.statusCode ?? 0,
    body,
    Number.isFinite(after) && after > 0 ? after : undefined,
  );
}
