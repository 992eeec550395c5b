/** The behaviour that the Kubernetes client relies on, for both transports: fetch, as on Deno, and `node:https`, as on Node. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createTransport } from '../../daemon/clients/kubernetes/transport.ts';
import { createGatewayKubeClient } from '../../gateway/kube/client.ts';
import { createFetchTransport } from '../../gateway/kube/fetch-transport.ts';
import { isTooLarge, isUnreachable } from '../../shared/kube/errors.ts';
import type { KubeRequest, KubeTransport } from '../../shared/kube/port.ts';
import { kind } from '../../shared/kube/refs.ts';

const makers: Record<string, (url: string) => KubeTransport> = {
  fetch: (url) => createFetchTransport({ url, fetch, token: () => Promise.resolve('t0ken') }),
  'node:https': (url) => createTransport({ url, token: () => 't0ken' }),
};

const request = (more: Partial<KubeRequest> = {}): KubeRequest => ({
  method: 'GET',
  path: '/api/v1/pods?limit=1',
  headers: { accept: 'application/json' },
  timeoutMilliseconds: 10_000,
  ...more,
});

async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was taken');
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of body) text += decoder.decode(piece, { stream: true });
  return text;
}

for (const [name, make] of Object.entries(makers)) {
  const test = suite(`the transport by ${name}`);
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let server: Server;
  let transport: KubeTransport;
  let stop: AbortController;

  test.before.each(async () => {
    stop = new AbortController();
    server = createServer((incoming, outgoing) => answer(incoming, outgoing));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    transport = make(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  test.after.each(async () => {
    transport.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test('a request is sent with the token, and status, headers and body are returned', async () => {
    let seen: Promise<unknown> | undefined;
    answer = (incoming, outgoing) => {
      const { method, url, headers } = incoming;
      seen = textOf(incoming).then((body) => {
        outgoing.writeHead(409, { 'retry-after': '3' }).end('{"reason":"Conflict"}');
        return [method, url, headers.authorization, headers['content-type'], body];
      });
    };
    const sent = request({
      method: 'PUT',
      path: '/x?a=%20b',
      headers: { 'content-type': 'application/json' },
      body: '{"ä":1}',
    });
    const response = await transport.send(sent, stop.signal);
    assert.is(response.status, 409);
    assert.is(response.header('retry-after'), '3');
    assert.is(response.header('location'), undefined);
    assert.is(await textOf(response.body), '{"reason":"Conflict"}');
    assert.equal(await seen, ['PUT', '/x?a=%20b', 'Bearer t0ken', 'application/json', '{"ä":1}']);
  });

  test('redirects are not followed, since the token is only for this server', async () => {
    const paths: (string | undefined)[] = [];
    answer = (incoming, outgoing) => {
      paths.push(incoming.url);
      outgoing.writeHead(302, { location: '/elsewhere' }).end();
    };
    const response = await transport.send(request(), stop.signal);
    assert.is(response.status, 302);
    response.cancel(new Error('seen'));
    assert.equal(paths, ['/api/v1/pods?limit=1']);
  });

  test('late headers are a TimeoutError, but a body may take longer', async () => {
    answer = () => undefined;
    const late = await failure(transport.send(request({ timeoutMilliseconds: 50 }), stop.signal));
    assert.is(late.name, 'TimeoutError');
    answer = (_incoming, outgoing) => {
      outgoing.writeHead(200).write('a');
      setTimeout(() => outgoing.end('b'), 300);
    };
    const response = await transport.send(request({ timeoutMilliseconds: 200 }), stop.signal);
    assert.is(await textOf(response.body), 'ab');
  });

  test('the signal aborts the wait for headers and the body with its reason', async () => {
    answer = (_incoming, outgoing) => void outgoing.writeHead(200).write('a');
    const response = await transport.send(request(), stop.signal);
    const body = failure(textOf(response.body));
    answer = () => undefined;
    const headers = failure(transport.send(request(), stop.signal));
    const reason = new Error('the process ends');
    setTimeout(() => stop.abort(reason), 50);
    assert.is(await body, reason);
    assert.is(await headers, reason);
    assert.is(await failure(transport.send(request(), stop.signal)), reason);
  });

  test('cancelling a response closes its connection, with the reason', async () => {
    const closed = new Promise((resolve) => {
      answer = (_incoming, outgoing) => {
        outgoing.writeHead(200).write('a');
        outgoing.once('close', resolve);
      };
    });
    const response = await transport.send(request(), stop.signal);
    const body = failure(textOf(response.body));
    const reason = new Error('enough');
    response.cancel(reason);
    assert.is(await body, reason);
    await closed;
  });

  test('a connection cut in the middle of a body is an error, not a short answer', async () => {
    answer = (_incoming, outgoing) => {
      outgoing.writeHead(200, { 'content-length': '100' }).write('{"kind":');
      setTimeout(() => outgoing.destroy(), 50);
    };
    const response = await transport.send(request(), stop.signal);
    await failure(textOf(response.body));
  });

  test('with the gateway’s client an endless answer is aborted, and no answer is Unreachable', async () => {
    answer = (_incoming, outgoing) => {
      outgoing.writeHead(200);
      const pour = () => {
        while (!outgoing.destroyed && outgoing.write(' '.repeat(65_536)));
      };
      outgoing.on('drain', pour);
      pour();
    };
    const client = createGatewayKubeClient(transport);
    const ref = { kind: kind.remoteCluster, name: 'rome' };
    assert.ok(isTooLarge(await failure(client.get(ref, stop.signal))));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    assert.ok(isUnreachable(await failure(client.get(ref, stop.signal))));
  });

  test.run();
}
