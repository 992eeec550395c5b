/** The client against gateways that lie, flood and never end, over real TLS: it stops reading from each within bounds. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  createGatewayClient,
  createRequestSigner,
  MeaninglessAnswer,
} from '../../../daemon/clients/gateway/index.ts';
import { keyOf } from '../../shared/trust/keys.ts';
import { HostileGateway, pour } from './hostile-gateway.ts';

const test = suite('a hostile gateway');
let gateway: HostileGateway;
let client: ReturnType<typeof createGatewayClient>;

test.before.each(async () => {
  gateway = await HostileGateway.start();
  client = createGatewayClient({
    url: gateway.url,
    pin: gateway.pin,
    sign: createRequestSigner({ key: keyOf(1), clusterID: 'consumer', recipient: keyOf(2).fingerprint }),
  });
});
test.after.each(async () => {
  client.close();
  await gateway.stop();
});

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was taken');
}

test('an endless body is aborted after half a mebibyte', async () => {
  let poured = { bytes: () => 0 };
  gateway.answer = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    poured = pour(response, () => ' '.repeat(16_384));
  };
  const error = await failure(client.info());
  assert.instance(error, MeaninglessAnswer);
  assert.match(error.message, /more than 524288 bytes/);
  // Plus the bytes in the kernel's buffers.
  assert.ok(poured.bytes() < 16 << 20, `${poured.bytes()} bytes`);
});

test('an endless error page is aborted too', async () => {
  gateway.answer = (_request, response) => {
    response.writeHead(403, { 'content-type': 'application/problem+json' });
    pour(response, () => 'x'.repeat(16_384));
  };
  assert.instance(await failure(client.getParameters()), MeaninglessAnswer);
});

test('endless headers are aborted', async () => {
  gateway.answer = (_request, response) => {
    response.writeHead(
      200,
      Object.fromEntries(Array.from({ length: 90 }, (_, index) => [`x-${index}`, 'y'.repeat(1000)])),
    );
    response.end('{}');
  };
  assert.match((await failure(client.info())).message, /Header overflow|Parse Error/);
});

test('a malformed answer is GatewayUnreachable, not a document', async () => {
  for (const body of ['', 'null', '[]', '{"clusterID":1}', '['.repeat(100_000), '{"a":'.repeat(50_000)]) {
    gateway.answer = (_request, response) => void response.writeHead(200).end(body);
    assert.instance(await failure(client.info()), MeaninglessAnswer, body.slice(0, 20));
  }
});

test('redirects are not followed', async () => {
  gateway.answer = (_request, response) =>
    void response.writeHead(307, { location: 'https://169.254.169.254/latest/meta-data' }).end();
  await failure(client.info());
  assert.is(gateway.requests, 1);
});

/** Watches until the first interruption; returns the number of documents, and the error. */
async function watched(): Promise<{ documents: number; error: unknown }> {
  const stop = new AbortController();
  let error: unknown;
  let documents = 0;
  const iteration = client.watchParameters({
    signal: stop.signal,
    onInterruption: (reason) => {
      error ??= reason;
      stop.abort(new Error('seen'));
    },
  });
  for await (const _document of iteration) documents += 1;
  return { documents, error };
}

const streams: [what: string, chunk: (index: number) => string, message: RegExp][] = [
  ['one event without end', () => 'data: ' + 'x'.repeat(8000), /an event of more than|without an event/],
  ['comments without end', () => ': still here\n\n', /without an event/],
  ['newlines without end', () => '\n\n\n\n', /without an event/],
  [
    'events of unheard-of kinds',
    (index) => `event: news\nid: ${index}\ndata: {}\n\n`,
    /many events, none of them/,
  ],
  [
    'documents that are none',
    () => 'event: parameters\ndata: {"networkDocument":7}\n\n',
    /not a valid network document/,
  ],
  ['documents that are no JSON', () => 'event: parameters\ndata: {{{\n\n', /not a valid network document/],
  [
    'documents that are too large',
    () =>
      `event: parameters\ndata: {"networkDocument":{"payload":"${'A'.repeat(70_000)}","signature":"A"}}\n\n`,
    /not a valid network document/,
  ],
];
for (const [what, chunk, message] of streams) {
  test(`an event stream of ${what} is aborted`, async () => {
    gateway.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      pour(response, chunk);
    };
    const { documents, error } = await watched();
    assert.is(documents, 0);
    assert.instance(error, MeaninglessAnswer);
    assert.match((error as Error).message, message);
  });
}

test.run();
