/** The Kubernetes client's transport over fetch, which works on every runtime with fetch. */
import type { KubeResponse, KubeTransport } from '../../shared/kube/port.ts';
import { deadline, type Deadline } from '../../shared/time.ts';

export interface FetchConnection {
  /** `https://host:port` */
  url: string;
  /** A fetch that trusts the API server's certificate. */
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** The current bearer token; service account tokens change. */
  token: () => Promise<string>;
}

/** A transport of one API server; fetch manages its connections. */
export function createFetchTransport({ url, fetch, token }: FetchConnection): KubeTransport {
  return {
    url,
    async send({ method, path, headers, body, timeoutMilliseconds }, signal) {
      const limit = deadline(signal, timeoutMilliseconds, 'waiting for the headers of an answer');
      try {
        const response = await fetch(url + path, {
          method,
          headers: { ...headers, authorization: `Bearer ${await token()}` },
          signal: limit.signal,
          // The token is only for this server.
          redirect: 'manual',
          ...(body !== undefined && { body: body as BodyInit }),
        });
        limit.pause();
        return responseOf(response, limit);
      } catch (error) {
        limit.release();
        throw limit.signal.aborted ? (limit.signal.reason as Error) : error;
      }
    },
    close: () => undefined,
  };
}

/** The response, and its end: by the reader, or by the signal of `life`, which is released with it. */
function responseOf(response: Response, life: Deadline): KubeResponse {
  const reader = response.body?.getReader();
  let failure: Error | undefined;
  const end = (reason: Error) => {
    failure ??= reason;
    life.release();
    life.signal.removeEventListener('abort', aborted);
    // Runtimes differ in how a body fails when fetch's signal is aborted: a cancelled reader wakes in all of them.
    reader?.cancel(reason).catch(() => undefined);
  };
  const aborted = () => end(life.signal.reason as Error);
  life.signal.addEventListener('abort', aborted, { once: true });
  if (life.signal.aborted) aborted();
  async function* body(): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        const piece = await reader?.read();
        if (failure !== undefined) throw failure;
        if (piece === undefined || piece.done) return;
        yield piece.value;
      }
    } finally {
      end(new Error('the answer was read'));
    }
  }
  return {
    status: response.status,
    header: (name) => response.headers.get(name) ?? undefined,
    body: body(),
    cancel: end,
  };
}
