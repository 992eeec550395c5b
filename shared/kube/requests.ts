/** One request and its response: headers, deadlines, size limits, and errors that name the request. */
import { deadline } from '../time.ts';
import { readBody } from './body.ts';
import { UnreachableError, asUnreachable, statusError } from './errors.ts';
import type { KubeResponse, KubeTransport } from './port.ts';

export interface RequestOptions {
  /** JSON text or bytes. */
  body?: string | Uint8Array;
  /** Default `application/json`. */
  contentType?: string;
  headers?: Record<string, string>;
  /** Timeout of the response's headers. Default: the client's. */
  timeoutMilliseconds?: number;
}

export interface RequestBounds {
  /** Timeout of each request's headers, and again of its body. Raw ones: only headers. */
  timeoutMilliseconds: number;
  /** Largest response. */
  maximumBytes: number;
  userAgent: string;
}

/** The primitives of all verbs. Errors are those of the client. */
export interface Requests<R extends KubeResponse = KubeResponse> {
  /** The response with any status; the caller must end its body. */
  send: (method: string, path: string, options: RequestOptions, signal: AbortSignal) => Promise<R>;
  /** The text of a response with any status, of at most `limit` bytes. */
  read: (
    response: KubeResponse,
    limit: number,
    what: string,
    signal: AbortSignal,
    milliseconds?: number,
  ) => Promise<string>;
  /** The response's text and its size in bytes. Fails unless the status is a success. */
  ask: (
    method: string,
    path: string,
    options: RequestOptions,
    signal: AbortSignal,
    limit?: number,
  ) => Promise<{ value: unknown; bytes: number }>;
  /** The parsed object of a successful response. */
  json: <T>(method: string, path: string, options: RequestOptions, signal: AbortSignal) => Promise<T>;
}

/** Requests over a transport. It connects with the first one. */
export function createRequests<R extends KubeResponse>(
  transport: KubeTransport<R>,
  { timeoutMilliseconds, maximumBytes, userAgent }: RequestBounds,
): Requests<R> {
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
        'user-agent': userAgent,
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

  async function read(
    response: KubeResponse,
    limit: number,
    what: string,
    signal: AbortSignal,
    milliseconds = timeoutMilliseconds,
  ): Promise<string> {
    // The headers were in time; a stalled body must not block forever either.
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

  return { send, read, ask, json };
}

/** The query of a path, without undefined and empty parameters. */
export function query(parameters: Record<string, string | undefined>): string {
  const text = Object.entries(parameters)
    .filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  return text === '' ? '' : `?${text}`;
}

/** The request's name in messages, without the query, which is long and adds little. */
export function nameOf(method: string, path: string): string {
  return `${method} ${path.split('?')[0]}`;
}
