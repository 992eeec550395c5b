/** Connections, limits, certificates, probes, and answers to failures. */
import { connect as connectPlain } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import * as assert from 'uvu/assert';
import {
  CertificatePinError,
  createGatewayClient,
  GatewayUnreachable,
  type GatewayProblem,
  isProblem,
  pinnedTransport,
} from '../../../daemon/clients/gateway/index.ts';
import { issueSelfSignedCertificate } from '../../../shared/trust/self-signed-certificate.ts';
import { providerID, type Consumer, type Fixture } from '../setting.ts';
import { eventually } from '../../support/eventually.ts';
import type { Stories } from './story.ts';

export const transportStories: Stories = (test, fixture) => {
  test('the gateway reports its identity and its capabilities', async () => {
    const info = await fixture().administrator().info();
    assert.is(info.clusterID, providerID);
    assert.is(info.publicKey, fixture().providerKey.publicKey);
    const description = JSON.parse((await fixture().raw('GET', '/v1/openapi.json')).text) as {
      openapi: string;
      paths: Record<string, Record<string, { responses: object; requestBody?: object }>>;
    };
    assert.is(description.openapi, '3.1.0');
    assert.equal(
      Object.keys(description.paths).sort(),
      [
        '/v1/identities',
        '/v1/info',
        '/v1/openapi.json',
        '/v1/parameters/remote',
        '/v1/parameters/self',
        '/v1/peering',
        '/v1/previews',
        '/v1/tokens',
        '/v1/tokens/{name}',
      ].sort(),
    );
    assert.match(JSON.stringify(description.paths['/v1/tokens']?.['post']?.requestBody), 'expiresInSeconds');
    const missing = await fixture().raw('GET', '/v1/nothing');
    assert.is(missing.status, 404);
    assert.is(missing.problem?.type, 'https://hawser.dev/problems/not-found');
    const method = await fixture().raw('PUT', '/v1/tokens', { body: '{}' });
    assert.is(method.status, 405);
    assert.is(method.headers.get('allow'), 'POST, GET');
    for (const answer of [missing, method]) {
      assert.is(answer.headers.get('cache-control'), 'no-store');
      assert.match(answer.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
    }
  });

  test('the gateway requires TLS 1.3, and the client verifies the pin', async () => {
    const socket = await handshake(fixture(), {});
    assert.is(socket.getProtocol(), 'TLSv1.3');
    socket.destroy();
    // Deno cannot refuse TLS 1.2.
    if (fixture().runtime === 'node') {
      const refused = await handshake(fixture(), { maxVersion: 'TLSv1.2' }).catch((error: unknown) => error);
      assert.ok(refused instanceof Error, 'TLS 1.2 was spoken');
    }
    const requests = () => fixture().log.filter((line) => line.includes('"request"')).length;
    const before = requests();
    const wrong = createGatewayClient({ url: fixture().url, pin: '0'.repeat(64) });
    const error = await wrong.info().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.instance(error, CertificatePinError);
    assert.is(requests(), before, 'nothing is sent to whom the pin does not fit');
    wrong.close();
    const nobody = createGatewayClient({ url: 'https://127.0.0.1:1', pin: fixture().certificate.pin });
    assert.instance(
      await nobody.info().then(
        () => undefined,
        (reason: unknown) => reason,
      ),
      GatewayUnreachable,
    );
    nobody.close();
  });

  test('bodies are limited by their received bytes, independent of declared lengths', async () => {
    const big = 'x'.repeat(65 * 1024);
    assert.is((await fixture().raw('POST', '/v1/tokens', { body: big })).status, 413);
    const chunked = [
      'POST /v1/tokens HTTP/1.1',
      `host: 127.0.0.1:${fixture().port}`,
      'content-type: application/json',
      'transfer-encoding: chunked',
      '',
      '',
    ].join('\r\n');
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
    assert.match(await speak(fixture(), chunked + chunk.repeat(5) + '0\r\n\r\n', 5000), /^HTTP\/1.1 413/);
  });

  test('slow requests are aborted', async () => {
    const head = [
      'POST /v1/tokens HTTP/1.1',
      `host: 127.0.0.1:${fixture().port}`,
      'content-type: application/json',
      'content-length: 1000',
      '',
      '{',
    ].join('\r\n');
    const started = performance.now();
    const [body, headers] = await Promise.all([
      speak(fixture(), head, 20_000),
      // Deno's own limits on headers can't be configured.
      fixture().runtime === 'node' ? speak(fixture(), 'GET /v1/info HTTP/1.1\r\nhost: x', 20_000) : '',
    ]);
    assert.match(body, /^HTTP\/1.1 408/);
    if (fixture().runtime === 'node') assert.match(headers, /^HTTP\/1.1 408/);
    assert.ok(performance.now() - started < 15_000);
  });

  test('a few slow senders use no resources of others', async () => {
    const known = fixture().consumer('beside-the-slow');
    await known.client.requestIdentity({ ...known.request, secret: await fixture().newSecret() });
    const head = [
      'POST /v1/tokens HTTP/1.1',
      `host: 127.0.0.1:${fixture().port}`,
      'content-type: application/json',
      'content-length: 1000',
      '',
      '{',
    ].join('\r\n');
    // Within the rate limit of an address; together more than the concurrency limit.
    const slow = ['127.0.0.2', '127.0.0.3'].flatMap((localAddress) =>
      Array.from({ length: 150 }, () => handshake(fixture(), { localAddress })),
    );
    const sockets = await Promise.all(slow);
    const heard: string[] = [];
    for (const socket of sockets) {
      socket.on('error', () => {});
      socket.on('data', (data: Buffer) => void heard.push(data.toString('latin1')));
      socket.write(head);
    }
    try {
      await eventually('all of them to be sent', async () => {
        const { text } = await fixture().management('/metrics');
        const read = Number(/^hawser_api_bodies_read (\d+)$/m.exec(text)?.[1]);
        const running = Number(/^hawser_api_requests_running (\d+)$/m.exec(text)?.[1]);
        return read >= 100 || running >= 200;
      });
      assert.is((await fixture().administrator().info()).clusterID, providerID);
      await known.client.getPeering();
      // A known cluster at the slow senders' address still has its own share, also for bodies.
      const url = `${fixture().url}/v1/identities`;
      const body = JSON.stringify(known.request);
      const signed = known.sign({ method: 'POST', url, body: new TextEncoder().encode(body) });
      const lines = Object.entries({ ...signed, 'content-type': 'application/json' }).map(
        ([name, value]) => `${name}: ${value}`,
      );
      const request = [
        'POST /v1/identities HTTP/1.1',
        `host: 127.0.0.1:${fixture().port}`,
        ...lines,
        `content-length: ${body.length}`,
        '',
        body,
      ].join('\r\n');
      assert.match(await speak(fixture(), request, 10_000, '127.0.0.2'), /^HTTP\/1.1 201/);
      await eventually('those beyond the share to be refused', () =>
        Promise.resolve(heard.filter((text) => text.startsWith('HTTP/1.1 503')).length >= 172),
      );
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });

  test('connections of one source are limited', async () => {
    // Deno has no hook for new connections.
    if (fixture().runtime === 'deno') return;
    let closed = 0;
    const sockets = Array.from({ length: 1_100 }, () => {
      const socket = connectPlain({ host: '127.0.0.1', port: fixture().port, localAddress: '127.0.0.4' });
      socket.on('error', () => {});
      socket.once('close', () => void closed++);
      return socket;
    });
    try {
      // Well before the deadline of a handshake.
      await eventually('those beyond the share to be closed', () => Promise.resolve(closed >= 76), 5_000);
      assert.is(closed, 76);
      assert.is((await fixture().administrator().info()).clusterID, providerID);
      assert.match(
        (await fixture().management('/metrics')).text,
        /^hawser_api_connections_refused_total 76$/m,
      );
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });

  test('a renewed certificate is used without a restart or a lost request', async () => {
    const renewed = await issueSelfSignedCertificate({
      hosts: ['127.0.0.1'],
      days: 60,
      now: Date.now(),
      privateKey: fixture().certificate.privateKey,
    });
    const before = await serialNumber(fixture());
    await fixture().writeCertificate(renewed);
    let asked = 0;
    await eventually(
      'the renewed certificate',
      async () => {
        const transport = pinnedTransport(fixture().certificate.pin);
        const client = createGatewayClient({ url: fixture().url, pin: fixture().certificate.pin, transport });
        await client.info();
        transport.close();
        asked++;
        return (await serialNumber(fixture())) !== before && asked > 5;
      },
      20_000,
    );
    // A certificate and a key that do not match are not used.
    const other = await issueSelfSignedCertificate({ hosts: ['127.0.0.1'], days: 1, now: Date.now() });
    const kept = await serialNumber(fixture());
    await fixture().writeCertificate({ ...renewed, certificate: other.certificate });
    await eventually('the complaint', async () =>
      fixture().log.some((line) => line.includes('cannot use the certificate')),
    );
    assert.is(await serialNumber(fixture()), kept);
    await fixture().writeCertificate(renewed);
  });

  test('probes and metrics have their own port', async () => {
    assert.is((await fixture().management('/livez')).status, 200);
    assert.match((await fixture().management('/readyz')).text, '[+] certificate ok');
    const { text } = await fixture().management('/metrics');
    assert.match(text, /^hawser_api_requests_total\{method="GET",route="\/v1\/info",status="200"\} \d+$/m);
    assert.match(text, /^hawser_api_request_seconds_bucket\{.*le="\+Inf"\} \d+$/m);
    assert.match(text, /^# TYPE hawser_api_streams gauge$/m);
    assert.is((await fixture().raw('GET', '/metrics')).status, 404);
    const line = fixture()
      .log.map((each) => JSON.parse(each) as Record<string, unknown>)
      .findLast((each) => each['message'] === 'request');
    assert.equal(Object.keys(line ?? {}).slice(0, 4), ['time', 'level', 'message', 'role']);
    assert.match(String(line?.['requestID']), /^[0-9a-f-]{36}$/);
  });

  test('too many requests from one address are refused with 429', async () => {
    const transport = pinnedTransport(fixture().certificate.pin);
    const client = createGatewayClient({ url: fixture().url, pin: fixture().certificate.pin, transport });
    const refused: GatewayProblem[] = [];
    let answered = 0;
    // Until enough are refused, even on a slow machine; the bucket holds 200.
    const ask = async () => {
      for (let asked = 0; refused.length <= 20 && asked < 500; asked++) {
        const outcome = await client.info().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (isProblem(outcome, 'too-many-requests')) refused.push(outcome);
        else if (outcome === undefined) answered++;
        else throw outcome;
      }
    };
    await Promise.all(Array.from({ length: 64 }, ask));
    transport.close();
    assert.ok(refused.length > 20, `${refused.length} put off, ${answered} answered`);
    assert.ok(answered > 0);
    assert.ok((refused[0]?.retryAfterMilliseconds ?? 0) >= 1000);
    await delay(2000);
    assert.is((await fixture().administrator().info()).clusterID, providerID);
  });

  test('a flooding cluster does not affect another one at the same address', async () => {
    const [hostile, other] = [fixture().consumer('flooding'), fixture().consumer('flooded')];
    for (const { client, request } of [hostile, other])
      await client.requestIdentity({ ...request, secret: await fixture().newSecret() });
    const senders = [undefined, hostile, fixture().consumer(other.clusterID)];
    const refused = new Map<Consumer | undefined, string>();
    const over = new AbortController();
    // One sender at a time until it is over its limit, so that a slow machine reaches each of them; then all at once.
    let only: [Consumer | undefined] | undefined;
    const flood = Array.from({ length: 24 }, async (_, index) => {
      while (!over.signal.aborted) {
        const [sender] = only ?? [senders[index % senders.length]];
        const answer = await fixture().raw('GET', '/v1/peering', sender && { signedBy: sender });
        if (answer.status === 429) refused.set(sender, answer.problem?.detail ?? '');
      }
    });
    try {
      // Unsigned, with its own signature, and with the other's name and a wrong key: all are over their limits.
      for (const [number, sender] of senders.entries()) {
        only = [sender];
        await eventually(
          `sender ${number} to be put off`,
          () => Promise.resolve(refused.has(sender)),
          60_000,
        );
      }
      only = undefined;
      assert.match(refused.get(hostile) ?? '', 'Your cluster sent');
      assert.match(refused.get(undefined) ?? '', 'Your address sent');
      assert.match(refused.get(senders[2]) ?? '', 'Your address sent');
      // More than the rate limit of an address meanwhile, so that success is no coincidence.
      for (let asked = 0; asked < 60; asked++) await other.client.getPeering();
    } finally {
      over.abort();
      await Promise.all(flood);
    }
    await delay(1000);
  });

  test('without an API server the process lives, and reports the failure', async () => {
    await fixture().plane.stop();
    assert.is((await fixture().management('/livez')).status, 200);
    const answer = await fixture()
      .administrator()
      .createToken({})
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    assert.ok(
      isProblem(answer, 'api-server') || isProblem(answer, 'internal') || isProblem(answer, 'deadline'),
      String(answer),
    );
    assert.is((await fixture().administrator().info()).clusterID, providerID);
  });

  test('the gateway ends at once on SIGTERM', async () => {
    const started = performance.now();
    assert.is(await fixture().stopGateway('SIGTERM'), 0);
    assert.ok(performance.now() - started < 7000);
  });
};

interface HandshakeOptions {
  maxVersion?: 'TLSv1.2';
  /** The source address. */
  localAddress?: string;
}

function handshake(fixture: Fixture, options: HandshakeOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port: fixture.port,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      ...options,
    });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });
}

async function serialNumber(fixture: Fixture): Promise<string | undefined> {
  const socket = await handshake(fixture, {});
  const { serialNumber: serial } = socket.getPeerCertificate();
  socket.destroy();
  return serial;
}

/** The bytes received on a connection until it is closed or answered. */
async function speak(
  fixture: Fixture,
  text: string,
  milliseconds: number,
  localAddress?: string,
): Promise<string> {
  const socket = await handshake(fixture, { ...(localAddress !== undefined && { localAddress }) });
  return new Promise((resolve) => {
    let heard = '';
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(heard);
    };
    const timer = setTimeout(done, milliseconds);
    socket.on('data', (data: Buffer) => {
      heard += data.toString('latin1');
      if (heard.includes('\r\n\r\n')) done();
    });
    socket.on('error', done);
    socket.on('close', done);
    socket.write(text);
  });
}
