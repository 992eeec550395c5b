/** Bounds of a hostile API server's costs: bodies in any chunks, lists of large objects, bytes in caches. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readBody, readLines } from '../../../shared/kube/body.ts';
import { createByteBudget } from '../../../shared/kube/byte-budget.ts';
import { createKubeClient, type WatchEvent } from '../../../shared/kube/client.ts';
import { UnreachableError } from '../../../shared/kube/errors.ts';
import { createInformer } from '../../../shared/kube/informer.ts';
import type { KubeRequest, KubeTransport } from '../../../shared/kube/port.ts';
import { kind, type AnyObject } from '../../../shared/kube/refs.ts';

const test = suite('bounds of the Kubernetes client');
const { signal } = new AbortController();
const encoder = new TextEncoder();

async function* cut(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function linesOf(text: string, size: number, limit = 1 << 20): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of readLines(cut(text, size), limit, 'WATCH', () => undefined)) lines.push(line);
  return lines;
}

async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was taken');
}

test('lines are the same however they are chunked, and an incomplete last one is left out', async () => {
  const text = '{"a":"ä€𝄞"}\n\n{"b":2}\nrest';
  for (const size of [1, 2, 3, 5, 100]) assert.equal(await linesOf(text, size), ['{"a":"ä€𝄞"}', '{"b":2}']);
});

test('an event in chunks of one byte is read in linear time', async () => {
  const long = 'x'.repeat(400_000);
  assert.equal(await linesOf(`${long}\n`, 1), [long]);
  assert.is(await readBody(cut(long, 1), 1 << 20, 'GET'), long);
});

test('an oversized event ends the stream, in one chunk and in many', async () => {
  for (const size of [1, 1000]) {
    const error = await failure(linesOf(`${'x'.repeat(2000)}\n`, size, 1000));
    assert.ok(error instanceof UnreachableError && error.code === 'TOO_LARGE');
  }
});

/** An API server with pods of these sizes in bytes, each on a separate page if necessary. */
function serving(sizes: readonly number[]): { transport: KubeTransport; limits: number[] } {
  const limits: number[] = [];
  const answer = ({ path }: KubeRequest) => {
    const query = new URL(path, 'https://api').searchParams;
    const limit = Number(query.get('limit'));
    const from = Number(query.get('continue') ?? 0);
    limits.push(limit);
    const items = sizes
      .slice(from, from + limit)
      .map((size, index) => ({ metadata: { name: `p${from + index}` }, note: 'x'.repeat(size) }));
    const next = from + limit < sizes.length ? String(from + limit) : '';
    return JSON.stringify({ metadata: { resourceVersion: '7', continue: next }, items });
  };
  return {
    limits,
    transport: {
      url: 'https://api',
      send: (request) =>
        Promise.resolve({
          status: 200,
          header: () => undefined,
          body: cut(answer(request), 65_536),
          cancel: () => undefined,
        }),
      close: () => undefined,
    },
  };
}

test('a page that is too large is requested in smaller parts', async () => {
  const { transport, limits } = serving([
    ...Array.from({ length: 40 }, () => 100),
    ...Array.from({ length: 20 }, () => 90_000),
    ...Array.from({ length: 40 }, () => 100),
  ]);
  const client = createKubeClient(transport, { maximumPageBytes: 200_000 });
  const { items, resourceVersion } = await client.list(kind.pod, {}, signal);
  assert.is(items.length, 100);
  assert.is(new Set(items.map(({ metadata }) => metadata.name)).size, 100);
  assert.is(resourceVersion, '7');
  assert.ok(Math.min(...limits) <= 2 && limits.length < 100, `pages of ${limits.join(', ')}`);
});

test('a list ends after the requested number of objects, whatever the server sends', async () => {
  const { transport, limits } = serving(Array.from({ length: 700 }, () => 10));
  const client = createKubeClient(transport);
  const { items } = await client.list(kind.pod, { atMost: 600 }, signal);
  assert.is(items.length, 600);
  assert.equal(limits, [500, 100]);
  const { transport: greedy } = serving([10, 10, 10]);
  const ignoring: KubeTransport = {
    ...greedy,
    send: (request, until) => greedy.send({ ...request, path: '/api/v1/pods?limit=3' }, until),
  };
  assert.is((await createKubeClient(ignoring).list(kind.pod, { atMost: 2 }, signal)).items.length, 2);
});

test('a single oversized object is an error', async () => {
  const { transport, limits } = serving([100, 400_000]);
  const client = createKubeClient(transport, { maximumPageBytes: 200_000, maximumBytes: 300_000 });
  const error = await failure(client.list(kind.pod, {}, signal));
  assert.ok(error instanceof UnreachableError && error.code === 'TOO_LARGE');
  assert.ok(limits.length < 15, `${limits.length} pages`);
});

const pod = (name: string, size: number, version: number): AnyObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: 'twin',
    resourceVersion: String(version),
    annotations: { note: 'x'.repeat(size) },
  },
});

/** An informer over a watch of these events, which then stays open. */
async function informed(events: WatchEvent<AnyObject>[], budget = createByteBudget(10_000)) {
  const stop = new AbortController();
  const informer = createInformer<AnyObject>(
    {
      list: () => Promise.resolve({ items: [], resourceVersion: '1' }),
      async *watch(_kind, _options, watching) {
        yield* events as WatchEvent<never>[];
        await new Promise((resolve) => watching.addEventListener('abort', resolve, { once: true }));
      },
    },
    kind.pod,
    { namespace: 'twin', budget, random: () => 0 },
  );
  const ended = informer.run(stop.signal);
  await informer.synced(signal);
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  return {
    informer,
    budget,
    end: async () => {
      stop.abort();
      await ended;
    },
  };
}

test('the informers of one provider have a common limit in bytes', async () => {
  const { informer, budget, end } = await informed(
    Array.from({ length: 20 }, (_, index) => ({
      type: 'ADDED' as const,
      object: pod(`p${index}`, 900, index + 2),
    })),
  );
  assert.ok(informer.list().length < 11);
  assert.ok(budget.held <= 10_000);
  assert.match(informer.failure ?? '', /more than 10000 bytes of objects/);
  await end();
  assert.is(budget.held, 0, 'an ended informer releases its bytes');
});

test('changed and deleted objects release their bytes', async () => {
  const events: WatchEvent<AnyObject>[] = [];
  for (let round = 0; round < 20; round += 1) {
    events.push({ type: 'ADDED', object: pod('a', 4000, 3 * round + 2) });
    events.push({ type: 'MODIFIED', object: pod('a', 5000, 3 * round + 3) });
    events.push({ type: 'DELETED', object: pod('a', 5000, 3 * round + 4) });
  }
  events.push({ type: 'ADDED', object: pod('b', 100, 100) });
  const { informer, budget, end } = await informed(events);
  assert.is(informer.failure, undefined);
  assert.equal(
    informer.list().map(({ metadata }) => metadata.name),
    ['b'],
  );
  assert.ok(budget.held > 100 && budget.held < 400, `${budget.held}`);
  await end();
});

test.run();
