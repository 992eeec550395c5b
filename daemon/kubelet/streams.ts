/** Forwards logs and the connections of exec, attach and port-forward. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { linked } from '../../shared/time.ts';
import { KubeError, UnreachableError, messageOf } from '../kube/index.ts';
import type { Place } from './place.ts';
import { RouteError, providerPath, type PodRoute } from './routes.ts';

/** As in the kubelet (KubeletConfiguration, streamingConnectionIdleTimeout). */
const idleMilliseconds = 4 * 3600 * 1000;
/** Request headers of the upgraded protocol; no other header of the caller is forwarded. */
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

/** Streams are not JSON: an API server asked only for JSON refuses the upgrade (406). */
const anything = { accept: '*/*' } as const;

/** Forwards the provider's log as it arrives. Ends when either side does. */
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
      // Not `pipeline`: a provider that cuts the log off ends it; that is not an error of this server.
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
 * Upgrades the connection with the provider, then that with the caller, and joins the two: SPDY and WebSocket pass through
 * unchanged.
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
    // Node's parser rejects line breaks in received headers; the headers written here must not contain any either.
    if (!/[\r\n]/.test(text)) lines.push(`${name}: ${text}`);
  }
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  if (head.length > 0) far.write(head);
  if (provider.head.length > 0) socket.write(provider.head);
  await join(socket, far, signal);
}

/** Copies in both directions until both have ended, one has failed, or both were idle for four hours. */
function join(near: Duplex, far: Duplex, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let idle = setTimeout(cut, idleMilliseconds);
    const touched = () => {
      clearTimeout(idle);
      idle = setTimeout(cut, idleMilliseconds);
    };
    let touchedAt = 0;
    const onData = () => {
      // Rearming a timer per chunk is expensive; once a second is precise enough.
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
      // `end` sends everything written before.
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

/** Status and message of a failure for the caller. */
export function statusOf(error: unknown): { status: number; message: string } {
  if (error instanceof RouteError) return { status: error.status, message: error.message };
  if (error instanceof KubeError) {
    // The provider's refusal of the identity is not an error of the caller.
    const status = error.status === 401 || error.status === 403 ? 502 : error.status;
    return { status: status >= 400 && status <= 599 ? status : 502, message: error.message };
  }
  if (error instanceof UnreachableError) {
    return { status: 503, message: `the provider’s API server does not answer: ${error.message}` };
  }
  return { status: 500, message: messageOf(error) };
}
