/** The client and the informer against a hostile cluster's API server that floods and never ends: both stop within bounds. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createInformer, kind, type KubeClient } from '../../../daemon/kube/index.ts';
import { HostileGateway, pour } from '../clients/hostile-gateway.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';

const test = suite('a hostile API server');
let server: HostileGateway;
let client: KubeClient;
const megabyte = 1 << 20;

test.before.each(async () => {
  server = await HostileGateway.start();
  client = connectKube(
    { url: server.url, ca: server.certificate },
    { timeoutMilliseconds: 2000, maximumBytes: megabyte, maximumListBytes: 4 * megabyte },
  );
});
test.after.each(async () => {
  client.close();
  await server.stop();
});

const { signal } = new AbortController();
const pod = (index: number) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: `p${index}`, namespace: 'twin', resourceVersion: String(index + 1) },
});

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was taken');
}

test('an endless body is aborted', async () => {
  server.answer = (_request, response) => {
    response.writeHead(200);
    pour(response, () => ' '.repeat(16_384));
  };
  const error = await failure(client.get({ kind: kind.pod, namespace: 'twin', name: 'p' }, signal));
  assert.match(error.message, /larger than 1048576 bytes/);
});

test('a body that stalls is aborted', async () => {
  server.answer = (_request, response) => {
    response.writeHead(200);
    response.write('{');
  };
  const error = await failure(client.get({ kind: kind.pod, namespace: 'twin', name: 'p' }, signal));
  assert.match(error.message, /stopped half-way/);
});

test('an endless list of pages is aborted', async () => {
  let page = 0;
  server.answer = (_request, response) => {
    page += 1;
    const items = [{ ...pod(page), note: 'x'.repeat(500_000) }];
    response
      .writeHead(200)
      .end(JSON.stringify({ metadata: { resourceVersion: '1', continue: `${page}` }, items }));
  };
  const error = await failure(client.list(kind.pod, { namespace: 'twin' }, signal));
  assert.match(error.message, /a list of more than 4194304 bytes/);
  assert.ok(page < 12, `${page} pages`);
});

test('a watch with endless new objects is bounded in memory', async () => {
  const stop = new AbortController();
  server.answer = (request, response) => {
    response.writeHead(200);
    if (!request.url?.includes('watch=1')) {
      response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: [] }));
      return;
    }
    pour(response, (index) => `${JSON.stringify({ type: 'ADDED', object: pod(index) })}\n`);
  };
  const informer = createInformer(client, kind.pod, { namespace: 'twin', maximumObjects: 1000 });
  const ended = informer.run(stop.signal);
  for (const end = Date.now() + 20_000; informer.failure === undefined && Date.now() < end;)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.match(informer.failure ?? '', /more than 1000 objects/);
  assert.ok(informer.list().length <= 1000);
  stop.abort(new Error('seen'));
  await ended.catch(() => undefined);
});

test('malformed events and objects end only the watch', async () => {
  const stop = new AbortController();
  const nonsense = [
    'null',
    '7',
    '{}',
    '{"type":"ADDED"}',
    '{"type":"ADDED","object":null}',
    '{"type":"MODIFIED","object":[]}',
  ];
  let watches = 0;
  server.answer = (request, response) => {
    response.writeHead(200);
    if (!request.url?.includes('watch=1')) {
      response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: [pod(1)] }));
      return;
    }
    response.end(`${nonsense[watches++ % nonsense.length]}\n`);
  };
  const informer = createInformer(client, kind.pod, { namespace: 'twin', clock: hurried });
  const ended = informer.run(stop.signal);
  for (const end = Date.now() + 20_000; watches < nonsense.length && Date.now() < end;)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(watches >= nonsense.length, `${watches} watches`);
  assert.equal(
    informer.list().map(({ metadata }) => metadata.name),
    ['p1'],
  );
  stop.abort(new Error('seen'));
  await ended.catch(() => undefined);
});

/** Waits for a hundredth of the requested time. */
const hurried = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(milliseconds: number, call: () => void) {
    const timer = setTimeout(call, milliseconds / 100);
    return () => clearTimeout(timer);
  },
};

test.run();
