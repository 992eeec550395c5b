/** The HTTPS server of all virtual nodes: one listener, since the pod in the path determines the provider. */
import { constants } from 'node:crypto';
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { toSeconds } from '../../shared/conditions.ts';
import { type ControllerContext } from '../kube/index.ts';
import { deadline } from '../../shared/time.ts';
import type { Access } from './access.ts';
import { podList, resourceMetrics, summary } from './nodes-view.ts';
import { placeOf, podOf, type Places } from './place.ts';
import { RouteError, parseRoute, type NodeRoute, type Route } from './routes.ts';
import { joinStreams, statusOf, streamLogs } from './streams.ts';

/** Exec commands are part of the query. */
const longestHeaders = 128 << 10;
const mostConnections = 2048;
const accessTimeoutMilliseconds = 10_000;

export interface TLSMaterial {
  certificate: string;
  key: string;
  /** PEM of the CA that signs the cluster's client certificates. */
  clientAuthority: string | undefined;
}

export function tlsOptions(material: TLSMaterial) {
  return {
    cert: material.certificate,
    key: material.key,
    ...(material.clientAuthority !== undefined && { ca: material.clientAuthority }),
    minVersion: 'TLSv1.2' as const,
    // A resumed TLS session would not present the client's certificate again.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Creates the server, which is not listening yet. */
export function createKubeletServer(
  context: ControllerContext,
  places: Places,
  access: Access,
  material: TLSMaterial,
  signal: AbortSignal,
): Server {
  const startedAt = toSeconds(context.clock.now());
  const log = context.log.with({ feature: 'kubelet' });

  /** Parses, authenticates and authorizes a request. Throws the error to answer with. */
  async function admit(request: IncomingMessage): Promise<Route> {
    const limit = deadline(signal, accessTimeoutMilliseconds, 'authorisation', context.clock);
    try {
      const user = await access.authenticate(
        request.socket as TLSSocket,
        request.headers.authorization,
        limit.signal,
      );
      if (user === undefined) {
        throw new RouteError(401, 'a client certificate or a bearer token of this cluster is required');
      }
      const route = parseRoute(request.method ?? '', request.url ?? '');
      // Only users with rights on every node learn that a pod is not on a virtual node.
      const nodeName = 'pod' in route ? podOf(places, route)?.spec?.nodeName : undefined;
      if (!(await access.authorize(user, route, nodeName, limit.signal))) {
        throw new RouteError(403, `${user.name} may not do this on the node; it needs rights on nodes/proxy`);
      }
      return route;
    } finally {
      limit.release();
    }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const route = await admit(request);
    if (!('pod' in route)) {
      answerNode(route, response);
      return;
    }
    if (route.kind !== 'Logs') throw new RouteError(400, 'an upgrade to SPDY/3.1 or WebSocket is required');
    const pod = podOf(places, route);
    if (pod === undefined)
      throw new RouteError(404, `pod ${route.namespace}/${route.pod} is not on a virtual node`);
    await streamLogs(route, placeOf(places, pod), response, signal);
  }

  function answerNode(route: NodeRoute, response: ServerResponse): void {
    const send = (type: string, body: string) => {
      response.writeHead(200, { 'content-type': type, 'x-content-type-options': 'nosniff' }).end(body);
    };
    const json = (value: object) => send('application/json', JSON.stringify(value));
    const pods = places.pods.list();
    switch (route.kind) {
      case 'Health':
        return send('text/plain; charset=utf-8', 'ok');
      case 'Pods':
        return json(podList(pods));
      case 'RunningPods':
        return json(podList(pods.filter((pod) => pod.status?.phase === 'Running')));
      case 'Summary':
        return json(summary(places.peerings.list()[0]?.spec.nodeName ?? '', startedAt, pods));
      case 'ResourceMetrics':
        return send('text/plain; version=0.0.4', resourceMetrics());
    }
  }

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const route = await admit(request);
    if (!('pod' in route) || route.kind === 'Logs')
      throw new RouteError(400, 'upgrades are not supported on this path');
    const pod = podOf(places, route);
    if (pod === undefined)
      throw new RouteError(404, `pod ${route.namespace}/${route.pod} is not on a virtual node`);
    const container = route.container ?? '';
    log.info('opening a stream to an offloaded pod', {
      kind: route.kind,
      namespace: route.namespace,
      pod: route.pod,
      container,
    });
    await joinStreams(route, placeOf(places, pod), request, socket, head, signal);
  }

  const server = createServer(
    {
      ...tlsOptions(material),
      requestCert: true,
      // A client without a certificate may still send a token.
      rejectUnauthorized: false,
      maxHeaderSize: longestHeaders,
      headersTimeout: 10_000,
      requestTimeout: 30_000,
      handshakeTimeout: 10_000,
    },
    (request, response) => {
      serve(request, response).catch((error: unknown) => {
        const { status, message } = statusOf(error);
        if (signal.aborted || response.headersSent) response.destroy();
        else response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${message}\n`);
      });
    },
  );
  server.maxConnections = mostConnections;
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    upgrade(request, socket, head).catch((error: unknown) => {
      if (socket.destroyed) return;
      const { status, message } = statusOf(error);
      const body = `${message}\n`;
      socket.end(
        `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\ncontent-type: text/plain; charset=utf-8\r\n` +
          `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      );
    });
  });
  return server;
}
