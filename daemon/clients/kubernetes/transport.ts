/** HTTPS to one API server by `node:https`: connection reuse, credentials, deadlines, proxies. */
import {
  Agent as PlainAgent,
  request as plainRequest,
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import { Agent, request as tlsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { readBody } from '../../../shared/kube/body.ts';
import { UnreachableError, asUnreachable, statusError } from '../../../shared/kube/errors.ts';
import type { KubeRequest, KubeResponse, KubeTransport } from '../../../shared/kube/port.ts';
import { dialOptions, proxiedAgent } from '../proxy.ts';
import type { ClientCertificate, KubeConnection } from './connection.ts';

/** A response whose body is a Node stream. */
export interface NodeResponse extends KubeResponse {
  body: IncomingMessage;
}

/** A connection after a protocol upgrade. */
export interface Upgraded {
  socket: Duplex;
  /** Bytes that arrived after the response's headers. */
  head: Buffer;
  headers: Record<string, string | string[] | undefined>;
}

export interface NodeTransport extends KubeTransport<NodeResponse> {
  /** Upgrades the protocol (RFC 9110, section 7.8) for exec, attach and port-forward. Throws KubeError unless the answer is 101. */
  upgrade(
    method: string,
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Upgraded>;
}

const upgradeMilliseconds = 30_000;
/** With TCP keepalive a vanished peer is detected within about a minute, even on idle connections. */
const keepAliveMilliseconds = 15_000;
/** Shorter than the idle timeout of Go servers, so that this side closes first. */
const idleMilliseconds = 45_000;
/** As many as controllers use at once: connections closed between bursts would have to be reopened in the next one. */
const idleConnections = 32;

/** Creates the transport of one API server. It connects at the first request. */
export function createTransport(connection: KubeConnection): NodeTransport {
  const base = new URL(connection.url);
  const secure = base.protocol === 'https:';
  // A path prefix of the API server, as with Rancher; a trailing slash is ignored.
  const prefix = base.pathname.replace(/\/+$/, '');
  const agentOptions = {
    keepAlive: true,
    keepAliveMsecs: keepAliveMilliseconds,
    maxFreeSockets: idleConnections,
    scheduling: 'lifo' as const,
    timeout: idleMilliseconds,
    ...dialOptions,
    ...(connection.lookup !== undefined && { lookup: connection.lookup }),
  };
  const tlsOptions = {
    ...agentOptions,
    ...(connection.tlsServerName !== undefined && { servername: connection.tlsServerName }),
    rejectUnauthorized: connection.skipTLSVerify !== true,
    maxCachedSessions: 8,
  };
  const { proxy } = connection;
  const agent =
    proxy !== undefined
      ? proxiedAgent(proxy, secure ? tlsOptions : agentOptions, secure)
      : secure
        ? new Agent(tlsOptions)
        : new PlainAgent(agentOptions);
  const contexts = secureContexts(connection.ca);

  async function start(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    signal: AbortSignal,
  ): Promise<ClientRequest> {
    signal.throwIfAborted();
    const token = await connection.token?.();
    signal.throwIfAborted();
    return (secure ? tlsRequest : plainRequest)({
      agent: await agent,
      ...(secure && { secureContext: contexts(connection.clientCertificate?.()) }),
      method,
      host: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port || (secure ? 443 : 80),
      path: prefix + path,
      headers: {
        ...connection.headers,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
  }

  async function once(request: KubeRequest, signal: AbortSignal): Promise<NodeResponse> {
    const { method, path, headers, body, timeoutMilliseconds } = request;
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const sent = await start(method, path, { ...headers, ...length }, signal);
    return new Promise<NodeResponse>((resolve, reject) => {
      const release = abortable(sent, timeoutMilliseconds, signal);
      sent.once('response', (message) => {
        release.timer();
        release.signal();
        // Not through the request: to the body's reader that is a cut connection, whatever the reason.
        const end = () => message.destroy(signal.reason as Error);
        signal.addEventListener('abort', end, { once: true });
        message.once('close', () => signal.removeEventListener('abort', end));
        resolve(responseOf(message));
      });
      sent.once('error', (error: NodeJS.ErrnoException) => {
        release.timer();
        release.signal();
        const stale = sent.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        reject(stale && !signal.aborted ? new StaleConnectionError(error) : error);
      });
      sent.end(body);
    });
  }

  return {
    url: connection.url,
    async send(request, signal) {
      try {
        return await once(request, signal);
      } catch (error) {
        // The server just closed this kept-alive connection: only idempotent requests are repeated (RFC 9110, section 9.2.2).
        if (error instanceof StaleConnectionError && request.method !== 'POST') return once(request, signal);
        throw error;
      }
    },
    async upgrade(method, path, headers, signal) {
      const what = `${method} ${path.split('?')[0]}`;
      // The answer is a stream: to a request that accepts only JSON the API server answers 406.
      const sent = await start(method, path, { accept: '*/*', connection: 'Upgrade', ...headers }, signal);
      return new Promise((resolve, reject) => {
        const release = abortable(sent, upgradeMilliseconds, signal);
        const settle = () => {
          release.timer();
          release.signal();
        };
        sent.once('upgrade', (answer, socket, head) => {
          settle();
          resolve({ socket, head, headers: answer.headers });
        });
        sent.once('response', (message) => {
          settle();
          const response = responseOf(message);
          readBody(message, 65_536, what).then(
            (text) => reject(statusError(what, response, text)),
            (error: unknown) => {
              message.destroy();
              reject(asUnreachable(what, error));
            },
          );
        });
        sent.once('error', (error) => {
          settle();
          reject(signal.aborted ? error : asUnreachable(what, error));
        });
        sent.end();
      });
    },
    close: () => void Promise.resolve(agent).then((made) => made.destroy(), ignore),
  };
}

const ignore = () => undefined;

/** The server closed a kept-alive connection before it answered. */
class StaleConnectionError extends UnreachableError {
  constructor(cause: Error) {
    super('a kept connection', 'STALE_CONNECTION', cause.message, cause);
  }
}

/**
 * TLS contexts by client certificate. Each is created once, since it parses certificates and there are many connections.
 * Throws for an invalid certificate.
 */
function secureContexts(ca: string | undefined): (client: ClientCertificate | undefined) => SecureContext {
  let made: { certificate: string | undefined; context: SecureContext } | undefined;
  return (client) => {
    if (made !== undefined && made.certificate === client?.certificate) return made.context;
    const options: SecureContextOptions & { allowPartialTrustChain: boolean } = {
      minVersion: 'TLSv1.2',
      // A cluster's CA may be an intermediate one whose bundle lacks the root: as in Go, every certificate in the bundle is a
      // trust anchor (X509_V_FLAG_PARTIAL_CHAIN). Supported by Node from 22.9 on.
      allowPartialTrustChain: true,
      ...(ca !== undefined && { ca }),
      ...(client && { cert: client.certificate, key: client.key }),
    };
    made = { certificate: client?.certificate, context: createSecureContext(options) };
    return made.context;
  };
}

function responseOf(message: IncomingMessage): NodeResponse {
  return {
    status: message.statusCode ?? 0,
    header: (name) => {
      const value = message.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
    body: message,
    cancel: (reason) => void message.destroy(reason),
  };
}

/** Destroys the request at the deadline (until `timer()`) or when the signal is aborted (until `signal()`). */
function abortable(request: ClientRequest, milliseconds: number, signal: AbortSignal) {
  const onAbort = () =>
    request.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
  signal.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(
    () => request.destroy(new DOMException(`no answer within ${milliseconds / 1000} s`, 'TimeoutError')),
    milliseconds,
  );
  return {
    timer: () => clearTimeout(timer),
    signal: () => signal.removeEventListener('abort', onAbort),
  };
}
