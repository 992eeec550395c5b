import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  GatewayProblem,
  GatewayUnreachable,
  isProblem,
  isTemporary,
  problemOf,
} from '../../../daemon/clients/gateway/errors.ts';
import { readEvents } from '../../../daemon/clients/gateway/event-stream.ts';
import { createGatewayClient, createRequestSigner } from '../../../daemon/clients/gateway/index.ts';
import { Problem } from '../../../shared/errors.ts';
import { keyOf } from '../../shared/trust/keys.ts';

function streamOf(...chunks: readonly string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
      controller.close();
    },
  });
}

async function eventsOf(...chunks: readonly string[]): Promise<unknown[]> {
  const events = [];
  for await (const event of readEvents(streamOf(...chunks), { characters: 200, onActivity: () => {} }))
    events.push(event);
  return events;
}

test('events are the same however the stream is chunked', async () => {
  const text =
    ': hello\n\nevent: parameters\nid: 4\ndata: {"a":\ndata: 1}\n\ndata:x\r\n\r\n: comment\n\nevent: ended\ndata: {}\n\n';
  const expected = [
    { event: 'parameters', id: '4', data: '{"a":\n1}' },
    { event: 'message', id: undefined, data: 'x' },
    { event: 'ended', id: undefined, data: '{}' },
  ];
  assert.equal(await eventsOf(text), expected);
  for (let at = 1; at < text.length; at++)
    assert.equal(await eventsOf(text.slice(0, at), text.slice(at)), expected, `cut at ${at}`);
});

test('CR LF split between chunks is one line break', async () => {
  const text = 'event: a\r\nid: 1\r\ndata: x\r\ndata: y\r\n\r\nevent: b\rdata: z\r\r';
  const expected = [
    { event: 'a', id: '1', data: 'x\ny' },
    { event: 'b', id: undefined, data: 'z' },
  ];
  for (let at = 1; at < text.length; at++)
    assert.equal(await eventsOf(text.slice(0, at), text.slice(at)), expected, `cut at ${at}`);
  assert.equal(await eventsOf(...text.split('')), expected, 'one character at a time');
});

test('an event in chunks of one character is read in linear time', async () => {
  const long = 'x'.repeat(150_000);
  const bytes = new TextEncoder().encode(`data: ${long}\n\n`);
  let at = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (at === bytes.length) controller.close();
      else controller.enqueue(bytes.subarray(at, ++at));
    },
  });
  const events = [];
  for await (const event of readEvents(stream, { characters: 200_000, onActivity: () => {} }))
    events.push(event);
  assert.is(events.length, 1);
  assert.is(events[0]?.data.length, 150_000);
});

test('an oversized event ends the stream with an error', async () => {
  const error = await eventsOf(`data: ${'x'.repeat(300)}`).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, RangeError);
});

test('isProblem recognises problem types', async () => {
  const response = new Problem('stale-generation', 'Held.', {
    extensions: { heldGeneration: 4 },
    retryAfterSeconds: 2,
  }).toResponse('id');
  const problem = problemOf(response, await response.clone().text());
  assert.ok(isProblem(problem, 'stale-generation'));
  assert.is(problem.status, 409);
  assert.is(problem.document['heldGeneration'], 4);
  assert.is(problem.retryAfterMilliseconds, 2000);
  assert.not(isTemporary(problem));
  assert.ok(isTemporary(new GatewayUnreachable('x')));
  const page = new Response('<html>', { status: 502, headers: { 'content-type': 'text/html' } });
  assert.instance(problemOf(page, '<html>'), GatewayUnreachable);
});

function clientFor(answer: (url: string, headers: Record<string, string>) => Response) {
  const sign = createRequestSigner({ key: keyOf(1), clusterID: 'consumer', recipient: keyOf(2).fingerprint });
  return createGatewayClient({
    url: 'https://gateway.example:7443',
    pin: '',
    sign,
    transport: {
      fetch: (url, options) => Promise.resolve().then(() => answer(url, options.headers ?? {})),
      close: () => {},
    },
  });
}

test('an answer that is not a gateway’s is GatewayUnreachable', async () => {
  for (const answer of [
    () => new Response('{}'),
    () => new Response('<html>'),
    () => new Response(`{"clusterID":"${'x'.repeat(600_000)}"}`),
    () => {
      throw new Error('connect ECONNREFUSED');
    },
  ]) {
    const error = await clientFor(answer)
      .info()
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    assert.instance(error, GatewayUnreachable);
    assert.match((error as Error).message, 'gateway.example');
  }
});

test('a request on a reset connection is repeated once with a new signature', async () => {
  const signatures: (string | undefined)[] = [];
  const reset = () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  const client = clientFor((_url, headers) => {
    signatures.push(headers['signature']);
    if (signatures.length === 1) throw reset();
    return new Response(null, { status: 204 });
  });
  await client.deletePeering();
  assert.is(new Set(signatures).size, 2);
  let tries = 0;
  const always = clientFor(() => {
    tries++;
    throw reset();
  });
  assert.instance(await always.deletePeering().catch((reason: unknown) => reason), GatewayUnreachable);
  assert.is(tries, 2);
});

test('a watch continues after interruptions from its last generation, and ends at a refusal', async () => {
  const document = { payload: 'e30', signature: 'AAAA' };
  const event = (id: number) =>
    `event: parameters\nid: ${id}\ndata: ${JSON.stringify({ networkDocument: document })}\n\n`;
  const seen: (string | undefined)[] = [];
  const client = clientFor((_url, headers) => {
    seen.push(headers['last-event-id']);
    if (seen.length === 1) return new Response(streamOf(event(7)));
    if (seen.length === 2) return new Problem('overloaded', 'Busy.').toResponse(undefined);
    if (seen.length === 3) return new Response(streamOf('event: parameters\ndata: nonsense\n\n'));
    return new Problem('no-peering', 'Gone.').toResponse(undefined);
  });
  const documents: unknown[] = [];
  const interruptions: unknown[] = [];
  const run = async () => {
    for await (const each of client.watchParameters({
      signal: AbortSignal.timeout(20_000),
      random: () => -0.5,
      onInterruption: (error) => interruptions.push(error),
    }))
      documents.push(each);
  };
  const error = await run().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(isProblem(error, 'no-peering'), String(error));
  assert.equal(documents, [document]);
  assert.equal(seen, [undefined, '7', '7', '7']);
  assert.is(interruptions.length, 3);
  assert.ok(interruptions.some((each) => each instanceof GatewayProblem));
});

test.run();
