/** The gateway on Node: HTTPS (TLS 1.3) for peers, plain HTTP for probes and metrics. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener, type Server as HttpServer } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { getRequestListener } from '@hono/node-server';
import type { CertificatePair } from './certificates.ts';
import { createTransport } from '../daemon/clients/kubernetes/transport.ts';
import type { GatewayContext } from './http/context.ts';
import { Shares } from './http/shares.ts';
import { sourceGroup } from './http/source-group.ts';
import { runOn, type Handler, type Listener, type Runtime } from './entry.ts';
import { collectAfterStart } from '../shared/collect-after-start.ts';

const HEADERS_MILLISECONDS = 10_000;
/** Head and body together; the app has a deadline of its own for bodies. */
const RECEIVE_MILLISECONDS = 20_000;
const HANDSHAKE_MILLISECONDS = 10_000;
const IDLE_MILLISECONDS = 60_000;
const HEAD_BYTES = 32 * 1024;
const CONNECTIONS = 4_096;
/** Maximum of one source. All in-band consumers have the address of one node, which shares fewer among them (daemon/inband). */
const CONNECTIONS_OF_SOURCE = 1_024;
/** Grace period of pending requests at shutdown. */
const GRACE_MILLISECONDS = 5_000;

const receiving = {
  headersTimeout: HEADERS_MILLISECONDS,
  requestTimeout: RECEIVE_MILLISECONDS,
  keepAliveTimeout: IDLE_MILLISECONDS,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: HEAD_BYTES,
};

const runtime: Runtime = {
  readText: (path) => readFile(path, 'utf8'),
  writeLine: (line) => void process.stdout.write(`${line}\n`),
  random: (length) => new Uint8Array(randomBytes(length)),
  kubeTransport: createTransport,
  checkPair: (pair) => void createSecureContext(pair),
  sourceOf,
  listenHTTPS: async (handler, port, pair, onRefused) => {
    const server = createServer(
      { ...tlsOptions(pair), ...receiving, handshakeTimeout: HANDSHAKE_MILLISECONDS },
      listenerOf(handler),
    );
    shareConnections(server, onRefused);
    await listen(server, port);
    return {
      renew: (next) => server.setSecureContext(tlsOptions(next)),
      close: () => close(server),
    };
  },
  listenHTTP: async (handler, port): Promise<Listener> => {
    const server = createHttpServer(receiving, listenerOf(handler));
    await listen(server, port);
    return { renew: () => {}, close: () => close(server) };
  },
};

/** Runs the gateway until `signal` is aborted. Rejects when it can't begin. */
export function runGateway(
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<void> {
  const stopCollecting = collectAfterStart();
  return runOn(runtime, environment, signal).finally(stopCollecting);
}

// Globals are not overridden: the process may contain other parts, and Deno runs the same app.
function listenerOf(handler: Handler): RequestListener {
  const answer = getRequestListener((request, bindings) => handler(request, { ...bindings }), {
    overrideGlobalObjects: false,
  });
  return (incoming, outgoing) => void answer(incoming, outgoing);
}

function tlsOptions(pair: CertificatePair): { cert: string; key: string; minVersion: 'TLSv1.3' } {
  return { cert: pair.cert, key: pair.key, minVersion: 'TLSv1.3' };
}

function sourceOf(context: GatewayContext): string {
  const incoming = context.env['incoming'] as { socket?: { remoteAddress?: string } } | undefined;
  return incoming?.socket?.remoteAddress ?? 'unknown';
}

/** Checked before TLS, so that a connection beyond its source's share is cheap to refuse. */
function shareConnections(server: Server, onRefused: () => void): void {
  const shares = new Shares({ most: CONNECTIONS, perHolder: CONNECTIONS_OF_SOURCE });
  server.on('connection', (socket: Socket) => {
    const release = shares.take(sourceGroup(socket.remoteAddress ?? 'unknown'));
    if (release !== undefined) {
      socket.once('close', release);
      return;
    }
    onRefused();
    socket.destroy();
  });
  // Node itself closes connections beyond the total limit.
  server.on('drop', onRefused);
}

function listen(server: Server | HttpServer, port: number): Promise<void> {
  server.maxConnections = CONNECTIONS;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function close(server: Server | HttpServer): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), GRACE_MILLISECONDS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

if (import.meta.main) {
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort());
  await runGateway(process.env, stop.signal);
}
