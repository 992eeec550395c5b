/**
 * A hostile provider with a valid cluster key, against the consumer's real controller and API server: its bad documents and
 * identities are refused, counted and reported, and the former ones stay in force.
 */
import type { ServerResponse } from 'node:http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLog } from '../../../daemon/kube/index.ts';
import { runPeering } from '../../../daemon/peering/index.ts';
import { readStored } from '../../../shared/trust/documents-cache.ts';
import { runControllerWith } from '../../../daemon/roles/controller.ts';
import type { RemoteCluster, SignedDocument } from '../../../shared/api/clusters.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { bytesOf, toBase64URL } from '../../../shared/trust/encoding.ts';
import { signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import { encodePeeringToken } from '../../../shared/trust/token-codec.ts';
import type { NetworkDocument } from '../../../shared/wire/network-document.ts';
import { HostileGateway, pour } from '../clients/hostile-gateway.ts';
import { logHookFailure } from '../../support/log-hook-failure.ts';
import { keyOf } from '../../shared/trust/keys.ts';
import { Cluster, freePort, namespace } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';
import { isTrueOf, kind } from './helpers.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';

const test = suite('a hostile provider');
const id = 'trap-aaaaaa';
const key = keyOf(3);
let consumer: Cluster;
let gateway: HostileGateway;
let consumerID: string;
let metricsPort: number;
const ending = new AbortController();
let controller: Promise<void> = Promise.resolve();
const table: [attempt: string, stoppedBy: string][] = [];

/** Writes to the consumer's event stream; undefined without a stream. */
let send: ((text: string) => void) | undefined;
let streams = 0;

const document = (generation: number, more: Partial<NetworkDocument> = {}): NetworkDocument => ({
  version: 1,
  clusterID: id,
  recipient: consumerID,
  generation,
  requires: [],
  podCIDRs: ['10.50.0.0/16'],
  externalCIDR: '100.70.0.0/20',
  mtu: 1400,
  tunnelEndpoints: [],
  remaps: [],
  salt: Buffer.alloc(32, 7).toString('base64'),
  acknowledges: Number.MAX_SAFE_INTEGER,
  ...more,
});
const signed = (generation: number, more: Partial<NetworkDocument> = {}, by = key): SignedDocument =>
  signNetworkDocument(document(generation, more), by);
const event = (networkDocument: unknown) =>
  `event: parameters\nid: 1\ndata: ${JSON.stringify({ networkDocument })}\n\n`;

const remote = () =>
  consumer.kube.get<RemoteCluster>({ kind: kind.remoteCluster, name: id }, consumer.signal);
const held = async () => readStored((await remote())?.spec.networkDocument)?.generation;
const accepted = async () => findCondition((await remote())?.status?.conditions, 'DocumentsAccepted');
async function counted(what: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const found = new RegExp(
    `^hawser_refusals_total\\{remote_cluster="${id}",reason="${what}"\\} (\\d+)$`,
    'm',
  );
  return Number(found.exec(text)?.[1] ?? 0);
}
const stream = () => eventually('the consumer listens', () => send, 45_000);

let identity: object;

function listen(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  streams += 1;
  const write = (text: string) => void response.write(text);
  send = write;
  response.on('close', () => {
    if (send === write) send = undefined;
  });
  write(': welcome\n\n');
}

function behave(): void {
  gateway.answer = (request, response) => {
    const path = request.url?.split('?')[0];
    const json = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    request.resume();
    if (path === '/v1/info')
      json(200, { clusterID: id, publicKey: key.publicKey, version: '0.1.0', features: [] });
    else if (path === '/v1/identities') json(201, identity);
    else if (path === '/v1/parameters/remote') listen(response);
    else response.writeHead(204).end();
  };
}

test.before(
  logHookFailure(async () => {
    [consumer, gateway, metricsPort] = await Promise.all([
      Cluster.start({ name: 'prey' }),
      HostileGateway.start(),
      freePort(),
    ]);
    const rights = await consumer.plane.kubectl(['create', 'token', 'hawser-controller', '-n', namespace]);
    controller = runControllerWith(
      {
        kube: connectKube({
          url: consumer.plane.url,
          ca: consumer.plane.ca,
          token: () => rights.trim(),
        }),
        log: silentLog,
        environment: { HAWSER_NAMESPACE: namespace, POD_NAME: 'controller' },
        features: { peering: runPeering },
        probePort: metricsPort,
      },
      ending.signal,
    );
    controller.catch(() => undefined);
    const local = await eventually('LocalCluster is ready', async () => {
      const found = await consumer.kube.get({ kind: kind.localCluster, name: 'self' }, consumer.signal);
      return isTrueOf(found, 'Ready') && found;
    });
    consumerID = local.status?.clusterID ?? '';
    identity = {
      clusterID: id,
      publicKey: key.publicKey,
      tenantNamespace: 'hawser-tenant-prey',
      grant: { cpu: '4', memory: '8Gi', pods: 10, podSecurity: 'baseline' },
      identity: {
        apiServerURL: gateway.url,
        caBundle: gateway.certificate,
        token: 'secret',
        expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      },
      version: '0.1.0',
      features: [],
    };
    behave();
    const token = encodePeeringToken({
      gatewayURL: gateway.url,
      gatewayPin: gateway.pin,
      clusterID: id,
      keyFingerprint: key.fingerprint,
      secret: 'A'.repeat(43),
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    });
    await consumer.apply([
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'token', namespace },
        data: { token: Buffer.from(token).toString('base64') },
      } as never,
      {
        apiVersion: 'hawser.dev/v1alpha1',
        kind: 'OutgoingPeering',
        metadata: { name: id },
        spec: {
          remoteCluster: id,
          peering: 'default',
          tokenSecretName: 'token',
          nodeName: `hawser-${id}`,
          desired: 'Active',
        },
      },
    ]);
    (await stream())(event(signed(10)));
    await eventually('the first document is held', async () => (await held()) === 10);
  }),
);
test.after(async () => {
  ending.abort(new Error('the test has ended'));
  await controller.catch(() => undefined);
  await Promise.all([consumer?.stop(), gateway?.stop()]);
});

test('documents that are forged, misaddressed, rolled back or oversized are refused, and the stored one stays', async () => {
  const cases: [what: string, sent: () => unknown, message: RegExp][] = [
    ['signed by another key', () => signed(11, {}, keyOf(4)), /not signed by the cluster key/],
    ['meant for another cluster', () => signed(11, { recipient: 'other-bbbbbb' }), /not addressed to/],
    ['of another sender', () => signed(11, { clusterID: 'other-bbbbbb' }), /issued by another cluster/],
    [
      'a generation rolled back',
      () => signed(9, { mtu: 1300 }),
      /generation 9, not higher than .* generations only grow/,
    ],
    [
      'the same generation with other content',
      () => signed(10, { mtu: 1300 }),
      /generation 10, not higher than .* generations only grow/,
    ],
    ['a replay of an old one', () => signed(3), /generation 3, not higher than .* generations only grow/],
    ['half the Internet as pod range', () => signed(11, { podCIDRs: ['0.0.0.0/1'] }), /larger than a \/8/],
    [
      'loopback as pod range',
      () => signed(11, { podCIDRs: ['127.0.0.0/8'] }),
      /127\.0\.0\.0\/8, which is reserved/,
    ],
    [
      'the metadata service in its pod range',
      () => signed(11, { podCIDRs: ['169.254.0.0/16'] }),
      /169\.254\.0\.0\/16, which is reserved/,
    ],
    ['ranges that overlap', () => signed(11, { podCIDRs: ['10.50.0.0/16', '10.50.1.0/24'] }), /overlaps/],
    [
      'signed nonsense',
      () => {
        const payload = toBase64URL(bytesOf('{"version":1}'));
        const context = bytesOf('hawser network document v1\0');
        const text = bytesOf(payload);
        const whole = new Uint8Array(context.length + text.length);
        whole.set(context);
        whole.set(text, context.length);
        return { payload, signature: toBase64URL(key.sign(whole)) };
      },
      /is not valid/,
    ],
  ];
  for (const [what, sent, message] of cases) {
    const before = await counted('Document');
    (await stream())(event(sent()));
    const condition = await eventually(`${what} is refused`, async () => {
      const found = await accepted();
      return (
        (await counted('Document')) > before &&
        found?.status === 'False' &&
        message.test(found.message) &&
        found
      );
    });
    assert.is(await held(), 10, what);
    assert.ok(isTrueOf(await remote(), 'Compatible'), what);
    table.push([
      `document: ${what}`,
      `condition DocumentsAccepted: ${condition.message.replace(/^.*?Z: /, '').slice(0, 90)}`,
    ]);
  }
  (await stream())(event(signed(12)));
  await eventually('a good one is taken again', async () => (await held()) === 12);
  await eventually('it is said', async () => (await accepted())?.status === 'True');
});

test('a stream without documents is aborted, counted and reported', async () => {
  for (const [what, text] of [
    ['events that are no documents', () => event(7)],
    ['a document of more than 64 KiB', () => event({ payload: 'A'.repeat(70_000), signature: 'A' })],
    ['an event without end', () => `data: ${'x'.repeat(300_000)}`],
  ] as const) {
    const before = await counted('Document');
    (await stream())(text());
    await eventually('it is counted', async () => (await counted('Document')) > before);
    await eventually('it is said', async () => (await accepted())?.status === 'False');
    assert.is(await held(), 12);
    table.push([`event stream: ${what}`, 'the client ends it; condition DocumentsAccepted']);
  }
});

test('endless documents are read at one per second, with backpressure', async () => {
  const version = async () => Number((await remote())?.metadata.resourceVersion);
  const write = await stream();
  const first = (await held()) ?? 0;
  const documents = Array.from({ length: 200 }, (_, index) => event(signed(first + 1 + index)));
  write(documents.join(''));
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const now = (await held()) ?? 0;
  console.log(
    `\n  200 signed documents at once: ${now - first} taken within 5 s (16 at once, then one a second)`,
  );
  assert.ok(now > first && now - first < 60, `${now - first} taken`);
  assert.ok((await version()) > 0);
  table.push([
    '200 valid documents at once',
    `taken 16 at once, then one a second: ${now - first} within 5 s`,
  ]);
});

test('endless answers and foreign identities are refused and reported', async () => {
  const problemOf = async () => {
    const found = await consumer.kube.get({ kind: kind.outgoingPeering, name: id }, consumer.signal);
    return findCondition(found?.status?.conditions, 'IdentityValid');
  };
  const attempts: [what: string, answer: HostileGateway['answer'], message: RegExp][] = [
    [
      'an identity without end',
      (_request, response) => {
        response.writeHead(201, { 'content-type': 'application/json' });
        pour(response, () => ' '.repeat(16_384));
      },
      /more than 524288 bytes/,
    ],
    [
      'an identity of another cluster',
      (_request, response) =>
        void response.writeHead(201).end(JSON.stringify({ ...identity, clusterID: 'other-bbbbbb' })),
      /is another cluster/,
    ],
    [
      'an API server that is no HTTPS',
      (_request, response) =>
        void response
          .writeHead(201)
          .end(JSON.stringify({ ...identity, identity: { apiServerURL: 'http://169.254.169.254' } })),
      /unexpected answer/,
    ],
  ];
  for (const [what, answer, message] of attempts) {
    gateway.answer = (request, response) => {
      request.resume();
      if (request.url === '/v1/identities') answer(request, response);
      else response.writeHead(503).end();
    };
    // A consumer without an identity requests one.
    await consumer.kube.delete(
      { kind: kind.secret, namespace, name: `hawser-identity-${id}` },
      {},
      consumer.signal,
    );
    await consumer.kube.patch(
      { kind: kind.remoteCluster, name: id },
      { metadata: { annotations: { 'example.com/attempt': what } } },
      { type: 'merge' },
      consumer.signal,
    );
    const condition = await eventually(
      `${what} is refused`,
      async () => {
        const found = await problemOf();
        return found?.status === 'False' && message.test(found.message) && found;
      },
      90_000,
    );
    table.push([what, `condition IdentityValid: ${condition.message.slice(0, 100)}`]);
  }
  const secret = { kind: kind.secret, namespace, name: `hawser-identity-${id}` };
  assert.is(await consumer.kube.get(secret, consumer.signal), undefined);
});

test('the refusals are printed as a table', () => {
  const width = Math.max(...table.map(([attempt]) => attempt.length));
  console.log(`\n${table.map(([attempt, by]) => `  ${attempt.padEnd(width)}  ${by}`).join('\n')}`);
  assert.ok(table.length >= 17, `${table.length} attempts`);
  assert.ok(streams > 1);
});

test.run();
