/** fetch over node:https, because Node's own fetch cannot be configured to trust a certain CA or key. */
import { request, type Agent } from 'node:https';
import { Readable } from 'node:stream';

/** The options of fetch that are used here. */
export interface FetchOptions {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  signal?: AbortSignal | null;
}

export type HttpsFetch = (url: string, options: FetchOptions) => Promise<Response>;

/** Responses of these have no body (RFC 9110, section 6.4.1). */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** A fetch that uses `agent`'s connections. It follows no redirects, and its body ends with an error when the signal is aborted. */
export function httpsFetch(agent: Agent): HttpsFetch {
  return (url, { method = 'GET', headers = {}, body, signal }) =>
    new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
      const sent = request(
        url,
        { agent, method, headers: { ...headers, ...length }, ...(signal && { signal }) },
        (message) => {
          const status = message.statusCode ?? 502;
          const answered = new Headers();
          for (let index = 0; index + 1 < message.rawHeaders.length; index += 2)
            answered.append(message.rawHeaders[index] ?? '', message.rawHeaders[index + 1] ?? '');
          const empty = WITHOUT_BODY.has(status) || method === 'HEAD';
          if (empty) message.resume();
          const stream = empty ? null : (Readable.toWeb(message) as ReadableStream<Uint8Array>);
          resolve(new Response(stream, { status, headers: answered }));
        },
      );
      sent.on('error', (error) => reject(signal?.aborted === true ? (signal.reason as Error) : error));
      sent.end(body);
    });
}
