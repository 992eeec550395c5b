/** One request and its answer: headers and deadlines, bodies within bounds, errors that say what was asked. */
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
  /** Until the response's headers are there. Default: the client's. */
  timeoutMilliseconds?: number;
}

export interface RequestBounds {
  /** Of each request: until its headers are there, and again until its body is. Raw ones: headers alone. */
  timeoutMilliseconds: number;
  /** Largest answer. */
  maximumBytes: number;
  userAgent: string;
}

/** What every verb is made of. Errors are those of the client. */
export interface Requests<R extends KubeResponse = KubeResponse> {
  /** The response, whichever status it has; its body is the caller's to end. */
  send: (method: string, path: string, options: RequestOptions, signal: AbortSignal) => Promise<R>;
  /** The text of an answer, whichever status it has, of at most `limit` bytes. */
  read: (
    response: KubeResponse,
    limit: number,
    what: string,
    signal: AbortSignal,
    milliseconds?: number,
  ) => Promise<string>;
  /** What was asked for, and how many bytes it came in. Fails unless the status is a success. */
  ask: (
    method: string,
    path: string,
    options: RequestOptions,
    signal: AbortSignal,
    limit?: number,
  ) => Promise<{ value: unknown; bytes: number }>;
  /** The object that was asked for. */
  json: <T>(method: string, path: string, options: RequestOptions, signal: AbortSignal) => Promise<T>;
}

/** Requests over a transport. Nothing is dialled before the first one. */
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

/** The query of a path; what is undefined or empty is left out. */
export function query(parameters: Record<string, string | undefined>): string {
  const text = Object.entries(parameters)
    .filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  return text === '' ? '' : `?${text}`;
}

/** For messages: without the query, which is long and says little. */
export function nameOf(method: string, path: string): string {
  return `${method} ${path.split('?')[0]}`;
}
