/** The gateway on Node: HTTPS (TLS 1.3) for peers, plain HTTP for probes and metrics. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { Agent, createServer, type Server } from 'node:https';
import { createSecureContext } from 'node:tls';
import { createAdaptorServer } from '@hono/node-server';
import { CertificateFiles, type CertificatePair } from './certificate-files.ts';
import { httpsFetch } from './client/https-fetch.ts';
import { readConfiguration } from './configuration.ts';
import type { GatewayContext } from './context.ts';
import { inClusterConnection } from './kube/in-cluster.ts';
import { createLog } from './log.ts';
import { createGatewayService } from './service.ts';

const HEADERS_MILLISECONDS = 10_000;
/** Head and body together; the app has a deadline of its own for bodies. */
const RECEIVE_MILLISECONDS = 20_000;
const HANDSHAKE_MILLISECONDS = 10_000;
const IDLE_MILLISECONDS = 60_000;
const HEAD_BYTES = 32 * 1024;
const CONNECTIONS = 4_096;
/** How long requests that are being answered may still take when the process shall end. */
const GRACE_MILLISECONDS = 5_000;

/** Runs the gateway until `signal` is aborted. Rejects when it can't begin. */
export async function runGateway(
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<void> {
  const configuration = readConfiguration(environment);
  const log = createLog(configuration.logLevel, (line) => process.stdout.write(`${line}\n`), Date.now);
  const readText = (path: string) => readFile(path, 'utf8');
  const ca = await readText(`${configuration.serviceAccountDirectory}/ca.crt`);
  const certificates = new CertificateFiles({
    directory: configuration.certificateDirectory,
    readText,
    check: (pair) => void createSecureContext(pair),
    log,
  });
  const service = createGatewayService({
    connection: inClusterConnection({
      server: configuration.apiServer,
      serviceAccountDirectory: configuration.serviceAccountDirectory,
      readText,
      fetch: httpsFetch(new Agent({ ca, keepAlive: true })) as typeof fetch,
      clock: Date.now,
    }),
    namespace: configuration.namespace,
    clock: Date.now,
    random: (length) => new Uint8Array(randomBytes(length)),
    log,
    sourceOf,
    stopping: signal,
    waitingFor: () => certificates.waitingFor,
  });
  const management = createAdaptorServer({ fetch: service.management.fetch, createServer: createHttpServer });
  await listen(management as Server, configuration.metricsPort);
  log('info', 'probes and metrics are served', { port: configuration.metricsPort });
  const running = service.run();
  const first = await certificates.first(signal);
  if (first !== undefined) {
    const server = await servePeers(service.app.fetch, first, configuration.port);
    log('info', 'peers are served', { port: configuration.port });
    await certificates.watch((pair) => server.setSecureContext(tlsOptions(pair)), signal);
    await close(server);
  }
  await close(management as Server);
  await running;
}

async function servePeers(
  fetch: Parameters<typeof createAdaptorServer>[0]['fetch'],
  pair: CertificatePair,
  port: number,
): Promise<Server> {
  const server = createAdaptorServer({
    fetch,
    // Deno runs the same app; neither may find its globals changed.
    overrideGlobalObjects: false,
    createServer,
    serverOptions: {
      ...tlsOptions(pair),
      handshakeTimeout: HANDSHAKE_MILLISECONDS,
      headersTimeout: HEADERS_MILLISECONDS,
      requestTimeout: RECEIVE_MILLISECONDS,
      keepAliveTimeout: IDLE_MILLISECONDS,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: HEAD_BYTES,
    },
  }) as Server;
  server.maxConnections = CONNECTIONS;
  await listen(server, port);
  return server;
}

function tlsOptions(pair: CertificatePair): { cert: string; key: string; minVersion: 'TLSv1.3' } {
  return { cert: pair.cert, key: pair.key, minVersion: 'TLSv1.3' };
}

function sourceOf(context: GatewayContext): string {
  const incoming = context.env['incoming'] as { socket?: { remoteAddress?: string } } | undefined;
  return incoming?.socket?.remoteAddress ?? 'unknown';
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function close(server: Server): Promise<void> {
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
