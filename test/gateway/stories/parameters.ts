/** Negotiation: exchange of network documents, and the end of a peering. */
import * as assert from 'uvu/assert';
import { GatewayProblem, isProblem } from '../../../daemon/clients/gateway/index.ts';
import { isUnknownThere } from '../../../daemon/peering/removal.ts';
import { defaultLimits } from '../../../gateway/http/limits.ts';
import type { RemoteCluster, SignedDocument } from '../../../shared/api/clusters.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import { kind } from '../../../shared/kube/refs.ts';
import type { ClusterKey } from '../../../shared/trust/cluster-key.ts';
import { toBase64 } from '../../../shared/trust/encoding.ts';
import { readStoredDocument, signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import type { NetworkDocument } from '../../../shared/wire/network-document.ts';
import { newKey, providerID, type Consumer, type Fixture } from '../setting.ts';
import { eventually } from '../../support/eventually.ts';
import type { Stories } from './story.ts';

const signal = () => AbortSignal.timeout(10_000);

export const parameterStories: Stories = (test, fixture) => {
  test('the consumer’s document is stored from the redemption on, and only newer ones replace it', async () => {
    const consumer = await peer(fixture(), 'declarer', 3);
    assert.is(await heldGeneration(fixture(), 'declarer'), 3);
    const put = (generation: number, changes: Partial<NetworkDocument> = {}, key = consumer.key) =>
      consumer.client.putParameters(document(key, 'declarer', providerID, generation, changes)).then(
        () => 'held',
        (error: unknown) => error,
      );
    assert.is(await put(4), 'held');
    assert.is(await put(4), 'held');
    assert.is(await heldGeneration(fixture(), 'declarer'), 4);
    for (const answer of [await put(4, { mtu: 1300 }), await put(2)]) {
      assert.ok(isProblem(answer, 'stale-generation'), String(answer));
      assert.is(answer.document['heldGeneration'], 4);
    }
    const forged = await put(9, {}, newKey());
    assert.ok(isProblem(forged, 'invalid-document'));
    assert.match(forged.detail, 'not signed by the cluster key of declarer');
    const misdirected = await put(9, { recipient: 'another' });
    assert.ok(isProblem(misdirected, 'invalid-document'));
    const foreign = await put(9, { clusterID: 'another' });
    assert.ok(isProblem(foreign, 'invalid-document'));
    const unknown = await put(9, { requires: ['teleport'] });
    assert.ok(isProblem(unknown, 'invalid-document'));
    assert.match(unknown.detail, 'teleport');
    assert.is(await heldGeneration(fixture(), 'declarer'), 4);
    const race = await Promise.all([5, 6, 7, 8, 9].map((generation) => put(generation)));
    assert.is(await heldGeneration(fixture(), 'declarer'), 9);
    assert.ok(race.every((each) => each === 'held' || isProblem(each, 'stale-generation')));
  });

  test('only a known key with an existing peering can read or write', async () => {
    const consumer = await peer(fixture(), 'owner', 1);
    const impostor = fixture().consumer('owner');
    const stranger = fixture().consumer('unheard-of');
    for (const wrong of [impostor, stranger]) {
      for (const call of [
        () => wrong.client.getParameters(),
        () => wrong.client.putParameters(document(wrong.key, wrong.clusterID, providerID, 9)),
      ]) {
        const error = await call().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        assert.ok(isProblem(error, 'signature-refused'), String(error));
        assert.is(error.status, 401);
      }
    }
    const missing = await consumer.client.getParameters('second').then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(isProblem(missing, 'no-peering'));
    const odd = await consumer.client.getParameters('Not_A_Label').then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(isProblem(odd, 'invalid-field'));
    assert.is(odd.field, 'peering');
  });

  test('unknown senders and wrong signatures always get the same answer', async () => {
    await peer(fixture(), 'secretly-here', 1);
    const impostor = fixture().consumer('secretly-here');
    const stranger = fixture().consumer('not-here-at-all');
    const skewed = (clusterID: string) => fixture().consumer(clusterID, newKey(), () => Date.now() - 400_000);
    const answer = async (who: Consumer, method: string, path: string, headers?: Record<string, string>) => {
      const body =
        method === 'PUT'
          ? JSON.stringify({ networkDocument: document(who.key, who.clusterID, providerID, 9) })
          : undefined;
      const { status, problem } = await fixture().raw(method, path, {
        signedBy: who,
        ...(body !== undefined && { body }),
        ...(headers && { headers }),
      });
      return `${status} ${problem?.detail.replace(/\d{4}-\S+Z/g, 'T')} ${JSON.stringify(problem?.errors)}`;
    };
    const otherRecipient = { 'hawser-recipient': newKey().fingerprint };
    for (const [method, path] of [
      ['DELETE', '/v1/peering'],
      ['GET', '/v1/peering'],
      ['GET', '/v1/parameters/remote'],
      ['PUT', '/v1/parameters/self'],
    ] as const) {
      const wrong = await answer(impostor, method, path);
      assert.match(wrong, /^401 .*BadSignature/, `${method} ${path}`);
      assert.is(await answer(stranger, method, path), wrong, `${method} ${path}`);
      const misdirected = await answer(impostor, method, path, otherRecipient);
      assert.match(misdirected, 'OtherRecipient');
      assert.is(await answer(stranger, method, path, otherRecipient), misdirected, `${method} ${path}`);
      const late = await answer(skewed('secretly-here'), method, path);
      assert.match(late, 'ClockSkew');
      assert.is(await answer(skewed('not-here-at-all'), method, path), late, `${method} ${path}`);
    }
  });

  test('documents of a cluster are rate-limited', async () => {
    const consumer = await peer(fixture(), 'hasty', 1);
    const other = await peer(fixture(), 'calm', 1);
    const put = (who: Consumer, generation: number) =>
      who.client.putParameters(document(who.key, who.clusterID, providerID, generation)).then(
        () => undefined,
        (error: unknown) => error,
      );
    let refused: unknown;
    let generation = 1;
    while (refused === undefined && generation < 60) refused = await put(consumer, (generation += 1));
    assert.ok(isProblem(refused, 'too-many-requests'), `after ${generation}: ${String(refused)}`);
    assert.ok(generation > 15, `only ${generation}`);
    assert.match(refused.detail, 'hasty declares');
    assert.ok((refused.retryAfterMilliseconds ?? 0) >= 1000);
    const held = generation - 1;
    assert.is(await heldGeneration(fixture(), 'hasty'), held);
    // Stored documents cost nothing; another endpoint has the same limit; another cluster has its own.
    assert.is(await put(consumer, held), undefined);
    const renewed = consumer.client.requestIdentity({
      ...consumer.request,
      networkDocument: document(consumer.key, 'hasty', providerID, held + 9),
    });
    assert.ok(
      isProblem(
        await renewed.then(
          () => undefined,
          (error: unknown) => error,
        ),
        'too-many-requests',
      ),
    );
    assert.is(await put(other, 2), undefined);
  });

  test('the provider’s document can be read once it exists, and its changes can be watched', async () => {
    const consumer = await peer(fixture(), 'reader', 1);
    assert.is(await consumer.client.getParameters(), undefined);
    const stop = new AbortController();
    const seen: number[] = [];
    const at: number[] = [];
    const watching = (async () => {
      for await (const each of consumer.client.watchParameters({ signal: stop.signal })) {
        seen.push(readStoredDocument(each).generation);
        at.push(performance.now());
      }
      return 'ended';
    })();
    await eventually('the stream', async () => (await streams(fixture())) === 1);
    const written = performance.now();
    await writeLocalDocument(fixture(), 'reader', 1);
    await eventually('the first document', async () => seen.length === 1);
    assert.ok((at[0] ?? 0) - written < 3000, `${(at[0] ?? 0) - written} ms`);
    assert.is(readStoredDocument(await present(consumer.client.getParameters())).generation, 1);
    for (const generation of [2, 3]) {
      await writeLocalDocument(fixture(), 'reader', generation);
      await eventually('the next document', async () => seen.at(-1) === generation);
    }
    // A change outside of the document causes no event.
    await touch(fixture(), 'reader');
    // After a restart of the gateway the stream continues, and sends only new documents.
    await fixture().stopGateway('SIGKILL');
    await writeLocalDocument(fixture(), 'reader', 4);
    await fixture().startGateway();
    await eventually('the document after the restart', async () => seen.at(-1) === 4, 15_000);
    assert.equal(seen, [1, 2, 3, 4]);
    // When the provider ends the stream, the iteration ends.
    await fixture().kube.delete({ kind: kind.incomingPeering, name: 'reader' }, {}, signal());
    assert.is(await watching, 'ended');
    stop.abort();
  });

  test('streams of a cluster are limited and counted', async () => {
    const consumer = await peer(fixture(), 'greedy', 1);
    await writeLocalDocument(fixture(), 'greedy', 1);
    const path = '/v1/parameters/remote?peering=default';
    const open = (abort: AbortController) =>
      fixture().transport.fetch(fixture().url + path, {
        headers: {
          accept: 'text/event-stream',
          ...consumer.sign({ method: 'GET', url: fixture().url + path, body: new Uint8Array(0) }),
        },
        signal: abort.signal,
      });
    const aborts = Array.from({ length: defaultLimits.streamsPerCluster }, () => new AbortController());
    const responses = await Promise.all(aborts.map(open));
    assert.equal([...new Set(responses.map(({ status }) => status))], [200]);
    assert.is(responses[0]?.headers.get('content-type'), 'text/event-stream');
    assert.is((await open(new AbortController())).status, 503);
    for (const abort of aborts) abort.abort();
    await eventually('the streams to be closed', async () => (await streams(fixture())) === 0);
    const again = new AbortController();
    assert.is((await open(again)).status, 200);
    again.abort();
  });

  test('a consumer gets the report of its own peering only', async () => {
    const consumer = await peer(fixture(), 'asker', 1);
    await peer(fixture(), 'other', 1);
    const told = await consumer.client.getPeering();
    assert.is(told.tenantReady, true);
    assert.is(told.desired, 'Active');
    assert.is(told.tunnel, undefined);
    assert.ok(Math.abs(Date.parse(told.at) - Date.now()) < 60_000);
    assert.match(told.problems[0]?.message ?? '', 'waits for a valid network document');
    // Its bounded conditions, and only the consumer's tunnel.
    const condition = (type: string, status: string, message: string) => ({
      type,
      status,
      reason: 'Test',
      message,
      lastTransitionTime: '2026-01-01T00:00:00Z',
    });
    const patch = (resource: string, name: string, status: object) =>
      fixture().plane.kubectl([
        ...`patch ${resource} ${name} --subresource=status --type=merge -p`.split(' '),
        JSON.stringify({ status }),
      ]);
    for (const name of ['asker', 'other']) {
      await fixture().plane.kubectl(['apply', '-f', '-'], { input: JSON.stringify(tunnelTo(name)) });
      await patch('tunnel', name, {
        conditions: [
          condition('Established', 'True', 'up'),
          condition('PathVerified', 'False', `no answer of ${name}`),
        ],
        latestHandshake: '2026-01-01T00:00:00Z',
      });
    }
    await patch('incomingpeering', 'asker', {
      used: { cpu: '3', memory: '1Gi', pods: 7 },
      conditions: [
        condition('TenantReady', 'True', 'ready'),
        condition('QuotaAvailable', 'False', 'x'.repeat(5000)),
        condition('Revoked', 'False', 'valid'),
      ],
    });
    const now = await consumer.client.getPeering();
    assert.equal(now.used, { cpu: '3', memory: '1Gi', pods: 7 });
    assert.equal(now.tunnel, {
      established: true,
      pathVerified: false,
      latestHandshake: '2026-01-01T00:00:00Z',
    });
    assert.equal(now.problems, [
      { type: 'QuotaAvailable', reason: 'Test', message: `${'x'.repeat(511)}…` },
      { type: 'PathVerified', reason: 'Test', message: 'no answer of asker' },
    ]);
    const refused = (call: Promise<unknown>) =>
      call.then(
        () => undefined,
        (reason: unknown) => reason,
      );
    assert.ok(isProblem(await refused(consumer.client.getPeering('second')), 'no-peering'));
    assert.ok(
      isProblem(await refused(fixture().consumer('asker').client.getPeering()), 'signature-refused'),
      'another key',
    );
    const early = fixture().consumer('asker', consumer.key, () => Date.now() - 3_600_000);
    const skewed = await refused(early.client.getPeering());
    assert.ok(isProblem(skewed, 'signature-refused'));
    assert.is(skewed.document.errors?.[0]?.detail, 'ClockSkew');
    assert.is((await fixture().raw('GET', '/v1/peering')).status, 401);
  });

  test('a consumer ends its own peering, and can repeat the request', async () => {
    const consumer = await peer(fixture(), 'leaver', 1);
    await peer(fixture(), 'stayer', 1);
    const unsigned = await fixture().raw('DELETE', '/v1/peering');
    assert.is(unsigned.status, 401);
    const impostor = await fixture()
      .consumer('leaver')
      .client.deletePeering()
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    assert.ok(isProblem(impostor, 'signature-refused'));
    await consumer.client.deletePeering('second');
    assert.ok(await fixture().kube.get({ kind: kind.incomingPeering, name: 'leaver' }, signal()));
    await consumer.client.deletePeering();
    await eventually(
      'the peering to be gone',
      async () =>
        (await fixture().kube.get({ kind: kind.incomingPeering, name: 'leaver' }, signal())) === undefined,
    );
    await consumer.client.deletePeering();
    await fixture().kube.delete({ kind: kind.remoteCluster, name: 'leaver' }, {}, signal());
    const forgotten = await consumer.client.deletePeering().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(isUnknownThere(forgotten), String(forgotten));
    assert.ok(await fixture().kube.get({ kind: kind.incomingPeering, name: 'stayer' }, signal()));
    const gone = await consumer.client.requestIdentity(consumer.request).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(gone instanceof GatewayProblem);
    // It peers again, with another token.
    await peer(fixture(), 'leaver', 1, consumer.key);
  });

  test('peering again waits until the former one is removed', async () => {
    const consumer = await peer(fixture(), 'returner', 1);
    await fixture().plane.kubectl([
      'patch',
      'incomingpeering',
      'returner',
      '--type=merge',
      '-p',
      '{"metadata":{"finalizers":["hawser.dev/cleanup"]}}',
    ]);
    await consumer.client.deletePeering();
    const secret = await fixture().newSecret();
    await fixture().withTenantSeconds(1, async () => {
      const refused = await consumer.client.requestIdentity({ ...consumer.request, secret }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(isProblem(refused, 'not-ready'), String(refused));
      assert.match(refused.detail, 'still removing');
    });
    const again = consumer.client.requestIdentity({ ...consumer.request, secret });
    await fixture().plane.kubectl([
      'patch',
      'incomingpeering',
      'returner',
      '--type=merge',
      '-p',
      '{"metadata":{"finalizers":[]}}',
    ]);
    assert.is((await again).clusterID, providerID);
  });
};

function document(
  key: ClusterKey,
  sender: string,
  recipient: string,
  generation: number,
  changes: Partial<NetworkDocument> = {},
): SignedDocument {
  return signNetworkDocument(
    {
      version: 1,
      clusterID: sender,
      recipient,
      generation,
      requires: [],
      podCIDRs: ['10.244.0.0/16'],
      externalCIDR: '100.64.0.0/20',
      mtu: 1420,
      tunnelEndpoints: [],
      remaps: [],
      salt: toBase64(new Uint8Array(32)),
      acknowledges: 0,
      ...changes,
    },
    key,
  );
}

function tunnelTo(remoteCluster: string): object {
  return {
    apiVersion,
    kind: 'Tunnel',
    metadata: { name: remoteCluster },
    spec: {
      remoteCluster,
      consumer: false,
      provider: true,
      remotePodCIDRs: ['10.244.0.0/16'],
      remoteExternalCIDR: '100.64.0.0/20',
      remoteTunnelEndpoints: [],
      remaps: [],
      remoteRemaps: [],
      mtu: 1420,
      presharedKeyRevision: '1',
    },
  };
}

async function peer(
  fixture: Fixture,
  clusterID: string,
  generation: number,
  key = newKey(),
): Promise<Consumer> {
  const consumer = fixture.consumer(clusterID, key);
  await consumer.client.requestIdentity({
    ...consumer.request,
    secret: await fixture.newSecret(),
    networkDocument: document(key, clusterID, providerID, generation),
  });
  return consumer;
}

async function remote(fixture: Fixture, name: string): Promise<RemoteCluster> {
  return present(fixture.kube.get({ kind: kind.remoteCluster, name }, signal()));
}

async function heldGeneration(fixture: Fixture, name: string): Promise<number | undefined> {
  const held = (await remote(fixture, name)).spec.networkDocument;
  return held === undefined ? undefined : readStoredDocument(held).generation;
}

/** Writes a document like the peering controller. */
async function writeLocalDocument(fixture: Fixture, name: string, generation: number): Promise<void> {
  const found = await remote(fixture, name);
  const localDocument = document(fixture.providerKey, providerID, name, generation);
  await fixture.kube.replace(
    { ...found, status: { ...found.status, localDocument } },
    { subresource: 'status' },
    signal(),
  );
}

async function touch(fixture: Fixture, name: string): Promise<void> {
  await fixture.plane.kubectl(['annotate', 'remotecluster', name, `touched=${Date.now()}`, '--overwrite']);
}

async function streams(fixture: Fixture): Promise<number> {
  const { text } = await fixture.management('/metrics');
  return Number(/^hawser_api_streams (\d+)$/m.exec(text)?.[1]);
}

async function present<T>(value: Promise<T | undefined>): Promise<T> {
  const found = await value;
  if (found === undefined) throw new Error('it is not there');
  return found;
}
