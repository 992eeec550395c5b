/** What flows through: logs, and the connections of exec, attach and port-forward. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { linked } from '../../shared/time.ts';
import { KubeError, UnreachableError, messageOf } from '../kube/index.ts';
import type { Place } from './place.ts';
import { RouteError, providerPath, type PodRoute } from './routes.ts';

/** As kubelets do (KubeletConfiguration, streamingConnectionIdleTimeout). */
const idleMilliseconds = 4 * 3600 * 1000;
/** Request headers that belong to the protocol that is switched to, and nothing else of the caller. */
const passedOn = [
  'upgrade',
  'x-stream-protocol-version',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
] as const;
const passedBack = [
  'upgrade',
  'x-stream-protocol-version',
  'sec-websocket-accept',
  'sec-websocket-protocol',
] as const;

/** Streams are no JSON: an API server that is asked for JSON alone refuses to switch protocols (406). */
const anything = { accept: '*/*' } as const;

/** Sends the provider's log on as it comes. Ends when either side does. */
export async function streamLogs(
  route: PodRoute,
  place: Place,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  using ended = linked(signal);
  const end = () => ended.abort(new Error('the client closed the connection'));
  response.once('close', end);
  try {
    const path = providerPath(route, place.namespace, place.pod);
    const { status, body: answer } = await place.remote.client.raw(
      'GET',
      path,
      { headers: anything },
      ended.signal,
    );
    response.writeHead(status, {
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
    response.flushHeaders();
    answer.setTimeout(idleMilliseconds, () => answer.destroy());
    await new Promise<void>((resolve) => {
      // Not `pipeline`: a provider that cuts off the log ends it; that is not an error of this server.
      answer.once('close', () => {
        response.end();
        resolve();
      });
      response.once('close', () => {
        answer.destroy();
        resolve();
      });
      answer.pipe(response);
    });
  } finally {
    response.off('close', end);
  }
}

/**
 * Switches protocols with the provider, then with the caller, and joins the two connections: SPDY and WebSocket pass
 * through as they are.
 */
export async function joinStreams(
  route: PodRoute,
  place: Place,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const headers: Record<string, string> = { ...anything };
  for (const name of passedOn) {
    const value = request.headers[name];
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  const path = providerPath(route, place.namespace, place.pod);
  using ended = linked(signal);
  const giveUp = () => ended.abort(new Error('the client closed the connection'));
  socket.once('close', giveUp);
  let provider: Awaited<ReturnType<typeof place.remote.client.upgrade>>;
  try {
    provider = await place.remote.client.upgrade(request.method ?? 'GET', path, headers, ended.signal);
  } finally {
    socket.off('close', giveUp);
  }
  const far = provider.socket;
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade'];
  for (const name of passedBack) {
    const value = provider.headers[name];
    if (value === undefined) continue;
    const text = Array.isArray(value) ? value.join(', ') : value;
    // Node's parser takes no line break in a header; what is written here must not bring one in either.
    if (!/[\r\n]/.test(text)) lines.push(`${name}: ${text}`);
  }
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (head.length > 0) far.write(head);
  if (provider.head.length > 0) socket.write(provider.head);
  await join(socket, far, signal);
}

/** Copies both ways until both have ended, one has failed, or nothing has come for four hours. */
function join(near: Duplex, far: Duplex, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let idle = setTimeout(cut, idleMilliseconds);
    const touched = () => {
      clearTimeout(idle);
      idle = setTimeout(cut, idleMilliseconds);
    };
    let touchedAt = 0;
    const onData = () => {
      // Timers are not free; once a second is exact enough for hours.
      const now = performance.now();
      if (now - touchedAt < 1000) return;
      touchedAt = now;
      touched();
    };
    let open = 2;
    const closed = () => {
      open -= 1;
      if (open > 0) {
        cut();
        return;
      }
      clearTimeout(idle);
      signal.removeEventListener('abort', cut);
      resolve();
    };
    function cut(): void {
      // What was written is sent before the end.
      for (const each of [near, far]) {
        if (each.destroyed) continue;
        if (each.writableEnded) setTimeout(() => each.destroy(), 1000).unref();
        else each.end(() => each.destroy());
      }
    }
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('data', onData);
      one.on('error', () => one.destroy());
      one.once('close', closed);
      one.pipe(other);
    }
    signal.addEventListener('abort', cut, { once: true });
    if (signal.aborted) cut();
  });
}

/** What a failure is called towards the caller. */
export function statusOf(error: unknown): { status: number; message: string } {
  if (error instanceof RouteError) return { status: error.status, message: error.message };
  if (error instanceof KubeError) {
    // The provider's refusal of the identity is not the caller's fault.
    const status = error.status === 401 || error.status === 403 ? 502 : error.status;
    return { status: status >= 400 && status <= 599 ? status : 502, message: error.message };
  }
  if (error instanceof UnreachableError) {
    return { status: 503, message: `the provider’s API server does not answer: ${error.message}` };
  }
  return { status: 500, message: messageOf(error) };
}
