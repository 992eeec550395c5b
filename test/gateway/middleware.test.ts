import { Hono } from 'hono';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Buckets } from '../../gateway/http/buckets.ts';
import type { GatewayEnvironment } from '../../gateway/http/context.ts';
import { Metrics } from '../../gateway/http/metrics.ts';
import { readBody } from '../../gateway/http/middleware/body.ts';
import { concurrency } from '../../gateway/http/middleware/concurrency.ts';
import { requireContentType } from '../../gateway/http/middleware/content-type.ts';
import { deadline } from '../../gateway/http/middleware/deadline.ts';
import { problemHandler, problemOf } from '../../gateway/http/middleware/problems.ts';
import { rateLimit } from '../../gateway/http/middleware/rate-limit.ts';
import { Places } from '../../gateway/http/places.ts';
import { Shares } from '../../gateway/http/shares.ts';
import { sourceGroup } from '../../gateway/http/source-group.ts';
import { requestID } from '../../gateway/http/middleware/request-id.ts';
import { KubeError, UnreachableError } from '../../shared/kube/errors.ts';
import { createLog } from '../../shared/log.ts';
import { Problem, type ProblemDocument } from '../../shared/errors.ts';

const logged: string[] = [];

function app(): Hono<GatewayEnvironment> {
  const made = new Hono<GatewayEnvironment>();
  made.onError(problemHandler(createLog('debug', { write: (line) => void logged.push(line), now: () => 0 })));
  made.use(requestID({ random: (length) => new Uint8Array(length).fill(0xab), clock: () => 0 }));
  return made;
}

/** The header `from` identifies senders, and `signed-by` known clusters. */
function places(perHolder = 4): Places {
  return new Places({
    sources: { most: 8, perHolder },
    clusters: { most: 8, perHolder: 1 },
    sourceOf: (context) => context.req.header('from') ?? '192.0.2.1',
    signerOf: (context) => context.req.header('signed-by'),
    doing: 'answering',
  });
}

/** A body in several chunks, without a length. */
function parts(count: number, size: number, pause = 0): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    pull: async (controller) => {
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      if (sent++ < count) controller.enqueue(new Uint8Array(size));
      else controller.close();
    },
  });
}

test('a body is read up to its limit', async () => {
  const limited = app()
    .use(readBody({ bytes: 100, milliseconds: 1000, places: places() }))
    .post('/', (context) => context.text(String(context.var.body.length)));
  const post = (body: BodyInit | null, headers = {}) =>
    limited.request('/', { method: 'POST', body, headers, duplex: 'half' } as RequestInit);
  assert.is(await (await post('x'.repeat(100))).text(), '100');
  assert.is(await (await post(null)).text(), '0');
  assert.is(await (await post(parts(10, 10))).text(), '100');
  assert.is((await post('x'.repeat(101))).status, 413);
  assert.is((await post(parts(11, 10))).status, 413);
  const lying = await post(parts(11, 10), { 'content-length': '5' });
  assert.is(lying.status, 413);
  assert.is(lying.headers.get('connection'), 'close');
  assert.is((await post('x', { 'content-length': '101' })).status, 413);
});

test('a slow body is aborted at its deadline', async () => {
  const limited = app()
    .use(readBody({ bytes: 100, milliseconds: 50, places: places() }))
    .post('/', (context) => context.text('never'));
  const response = await limited.request('/', {
    method: 'POST',
    body: parts(100, 1, 20),
    duplex: 'half',
  } as RequestInit);
  assert.is(response.status, 408);
});

test('only the documented content types are accepted', async () => {
  const typed = app()
    .use(readBody({ bytes: 100, milliseconds: 1000, places: places() }))
    .use('/must', requireContentType({ contentType: 'application/json', emptyAllowed: false }))
    .use('/may', requireContentType({ contentType: 'application/json', emptyAllowed: true }))
    .post('/:path', (context) => context.text('ok'));
  for (const [path, body, type, status] of [
    ['/must', '{}', 'application/json', 200],
    ['/must', '{}', 'Application/JSON; charset=UTF-8', 200],
    ['/must', '{}', 'application/json;charset="utf-8"', 200],
    ['/must', '{}', 'application/json; charset=latin1', 415],
    ['/must', '{}', 'application/jsonp', 415],
    ['/must', '{}', 'text/plain', 415],
    ['/must', null, undefined, 415],
    ['/may', null, undefined, 200],
    ['/may', '{}', 'text/plain', 415],
  ] as const) {
    const response = await typed.request(path, {
      method: 'POST',
      body,
      ...(type !== undefined && { headers: { 'content-type': type } }),
    });
    assert.is(response.status, status, `${path} ${type}`);
  }
});

test('a bucket refills over time, and the least recently used source is dropped', () => {
  const buckets = new Buckets({ perSecond: 2, burst: 3, sources: 2 });
  assert.equal(
    [1, 2, 3].map(() => buckets.take('a', 0)),
    [0, 0, 0],
  );
  assert.is(buckets.take('a', 0), 1);
  assert.is(buckets.take('b', 0), 0);
  assert.is(buckets.take('a', 500), 0);
  assert.is(buckets.take('a', 500), 1);
  assert.is(buckets.take('a', 400), 1, 'a clock that goes back gives nothing');
  buckets.take('c', 600);
  assert.is(buckets.size, 2);
});

test('sources are IPv4 addresses and IPv6 /64s', () => {
  for (const [address, group] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::9', '2001:db8:1:2'],
    ['2001:0DB8::9', '2001:db8:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::1', '0:0:0:0'],
    ['unknown', 'unknown'],
  ] as const)
    assert.is(sourceGroup(address), group, address);
});

test('a client - over its rate - gets 429 with Retry-After', async () => {
  const limited = app()
    .use(
      rateLimit({
        perSecond: 1,
        burst: 2,
        sources: 10,
        clock: () => 0,
        sourceOf: () => '192.0.2.1',
        signerOf: (context) => context.req.header('signed-by'),
      }),
    )
    .get('/', (context) => context.text('ok'));
  const ask = async (times: number, headers: Record<string, string> = {}) => {
    const statuses = [];
    for (let index = 0; index < times; index++)
      statuses.push((await limited.request('/', { headers })).status);
    return statuses;
  };
  assert.equal(await ask(3), [200, 200, 429]);
  assert.is((await limited.request('/')).headers.get('retry-after'), '1');
  // Other senders of its address do not delay a known cluster's requests, but its own share is limited.
  assert.equal(await ask(3, { 'signed-by': 'west' }), [200, 200, 429]);
  assert.equal(await ask(3, { 'signed-by': 'north' }), [200, 200, 429]);
  assert.match(
    await (await limited.request('/', { headers: { 'signed-by': 'north' } })).text(),
    'Your cluster',
  );
  assert.equal(await ask(1), [429]);
});

test('requests beyond the concurrency limit are refused until others end', async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const limited = app()
    .use(concurrency({ places: places(1), metrics: new Metrics() }))
    .get('/', async (context) => {
      await held;
      return context.text('ok');
    });
  const ask = (headers: Record<string, string> = {}) => limited.request('/', { headers });
  const first = ask();
  const refused = await ask();
  assert.is(refused.status, 503);
  assert.is(refused.headers.get('retry-after'), '2');
  // Other sources, and a known cluster of the same source, are not delayed; the cluster has its own share.
  const others = [ask({ from: '192.0.2.2' }), ask({ 'signed-by': 'west' })];
  assert.is((await ask({ 'signed-by': 'west' })).status, 503);
  release();
  for (const each of [first, ...others]) assert.is((await each).status, 200);
  assert.is((await ask()).status, 200);
});

test('slow bodies use only the concurrency share of their own source', async () => {
  const reading = places(2);
  const limited = app()
    .use(readBody({ bytes: 100, milliseconds: 5000, places: reading }))
    .post('/', (context) => context.text('ok'));
  const opened: ReadableStreamDefaultController<Uint8Array>[] = [];
  const post = (headers: Record<string, string>, body: BodyInit) =>
    limited.request('/', { method: 'POST', headers, body, duplex: 'half' } as RequestInit);
  const slow = (from: string) =>
    post({ from }, new ReadableStream<Uint8Array>({ start: (controller) => void opened.push(controller) }));
  const trickling = [slow('192.0.2.1'), slow('192.0.2.1')];
  assert.is(reading.held, 2);
  assert.is((await slow('192.0.2.1')).status, 503);
  assert.is((await post({ from: '192.0.2.2' }, 'x')).status, 200);
  assert.is((await post({ from: '192.0.2.1', 'signed-by': 'west' }, 'x')).status, 200);
  for (const controller of opened) {
    try {
      controller.close();
    } catch {
      // The refused body was never read.
    }
  }
  for (const each of trickling) assert.is((await each).status, 200);
  assert.is(reading.held, 0);
});

test('shares are limited per holder and in total, and released once', () => {
  const shares = new Shares({ most: 3, perHolder: 2 });
  const [first, second] = [shares.take('a'), shares.take('a')];
  assert.is(shares.take('a'), undefined);
  assert.ok(shares.take('b'));
  assert.is(shares.take('c'), undefined, 'all are held');
  first?.();
  first?.();
  assert.equal([shares.total, shares.of('a')], [2, 1]);
  assert.ok(shares.take('c'));
  second?.();
  assert.is(shares.of('a'), 0);
});

test('a deadline aborts its waiters', async () => {
  const limited = app()
    .use(deadline({ milliseconds: 20 }))
    .get(
      '/',
      (context) =>
        new Promise<Response>((_resolve, reject) => {
          context.var.signal.addEventListener('abort', () => reject(context.var.signal.reason as Error));
        }),
    );
  // A pending deadline keeps no process alive.
  const alive = setTimeout(() => {}, 10_000);
  assert.is((await limited.request('/')).status, 504);
  clearTimeout(alive);
});

test('an error’s answer has only its public message, and the log the rest', async () => {
  const failing = app()
    .get('/kube', () => {
      throw new KubeError('GET /x', 403, { reason: 'Forbidden', message: 'user hidden-name may not' });
    })
    .get('/unreachable', () => {
      throw new UnreachableError('GET /x', 'ECONNREFUSED', 'hidden-address refused');
    })
    .get('/late', () => {
      throw new UnreachableError('GET /x', 'DEADLINE', 'hidden-address was silent');
    })
    .get('/bug', () => {
      throw new TypeError('hidden-detail');
    })
    .get('/problem', () => {
      throw new Problem('not-found', 'There is none.', { retryAfterSeconds: 3 });
    });
  for (const [path, status, hidden] of [
    ['/kube', 502, 'hidden-name'],
    ['/unreachable', 502, 'hidden-address refused'],
    ['/late', 504, 'hidden-address was silent'],
    ['/bug', 500, 'hidden-detail'],
    ['/problem', 404, undefined],
  ] as const) {
    const response = await failing.request(path);
    const text = await response.text();
    assert.is(response.status, status);
    assert.is(response.headers.get('content-type'), 'application/problem+json');
    const document = JSON.parse(text) as ProblemDocument;
    assert.is(document.status, status);
    assert.is(document.instance, 'urn:uuid:abababab-abab-4bab-abab-abababababab');
    if (hidden !== undefined) {
      assert.not(text.includes(hidden));
      assert.match(logged.join('\n'), hidden);
    }
  }
  assert.is((await failing.request('/problem')).headers.get('retry-after'), '3');
  assert.is(problemOf(new DOMException('', 'TimeoutError')).problem, 'deadline');
});

test.run();
