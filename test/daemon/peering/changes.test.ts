/** Changes during a peering reach the other side automatically: real API servers, real gateways, no nodes. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readStored } from '../../../shared/trust/documents-cache.ts';
import { runPeering } from '../../../daemon/peering/index.ts';
import { runTenant } from '../../../daemon/tenant/index.ts';
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { ClusterKey, keyFingerprint } from '../../../shared/trust/cluster-key.ts';
import {
  createGatewayClient,
  createRequestSigner,
  isProblem,
} from '../../../daemon/clients/gateway/index.ts';
import { issueSelfSignedCertificate } from '../../../shared/trust/self-signed-certificate.ts';
import { Cluster, freePort, namespace } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';
import { isTrueOf, issueToken, kind, peer } from './helpers.ts';

const test = suite('changes during a peering');
const features = { peering: runPeering, tenant: runTenant };
/** Converging takes seconds; a busy machine takes longer. */
const debouncer = 60_000;
let consumer: Cluster;
let provider: Cluster;

const outgoing = async (): Promise<OutgoingPeering | undefined> =>
  (await consumer.kube.list(kind.outgoingPeering, {}, consumer.signal)).items[0];
const remoteAt = async (cluster: Cluster): Promise<RemoteCluster | undefined> =>
  (await cluster.kube.list(kind.remoteCluster, {}, cluster.signal)).items[0];
const localAt = (cluster: Cluster) =>
  cluster.kube.get({ kind: kind.localCluster, name: 'self' }, cluster.signal);
const patchLocal = (cluster: Cluster, spec: object) =>
  cluster.kube.patch({ kind: kind.localCluster, name: 'self' }, { spec }, { type: 'merge' }, cluster.signal);
const identity = async () => {
  const name = `hawser-identity-${(await outgoing())?.metadata.name}`;
  const secret = await consumer.kube.get({ kind: kind.secret, namespace, name }, consumer.signal);
  const text = Buffer.from(secret?.data?.['identity.json'] ?? '', 'base64').toString();
  return JSON.parse(text) as { token: string; caBundle: string; apiServerURL: string };
};
async function measured<T>(what: string, check: () => Promise<T | undefined | false>): Promise<T> {
  const begun = performance.now();
  const value = await eventually(what, check, debouncer);
  console.log(`  ${what}: ${Math.round(performance.now() - begun)} ms`);
  return value;
}
const negotiated = () =>
  eventually('negotiated', async () => isTrueOf(await outgoing(), 'Negotiated'), debouncer);

test.before(async () => {
  [consumer, provider] = await Promise.all([
    Cluster.start({ name: 'consumer' }),
    Cluster.start({ name: 'provider' }),
  ]);
  await Promise.all([consumer.startController(features), provider.startController(features)]);
  await provider.startGateway();
  await eventually('both are ready', async () => {
    const locals = await Promise.all([localAt(consumer), localAt(provider)]);
    return locals.every((local) => isTrueOf(local, 'Ready'));
  });
  await peer(await issueToken(provider), consumer);
  await negotiated();
});
test.after(async () => {
  await Promise.all([consumer?.stop(), provider?.stop()]);
});

test('an edited grant reaches the consumer at once, without a new identity', async () => {
  const { token } = await identity();
  const [incoming] = (await provider.kube.list(kind.incomingPeering, {}, provider.signal)).items;
  for (const cpu of ['16', '1']) {
    await provider.kube.patch(
      { kind: kind.incomingPeering, name: incoming?.metadata.name ?? '' },
      { spec: { grant: { cpu } } },
      { type: 'merge' },
      provider.signal,
    );
    await measured(`grant of ${cpu} cores`, async () => (await outgoing())?.status?.grant?.cpu === cpu);
  }
  assert.is((await identity()).token, token);
});

test('a new CA and a new address of the API server are followed without a new token', async () => {
  const before = await identity();
  await patchLocal(provider, { apiServerCABundle: `${provider.plane.ca}\n${consumer.plane.ca}` });
  await measured('CA of the API server', async () =>
    (await identity()).caBundle.includes(consumer.plane.ca.trim()),
  );
  const moved = provider.plane.url.replace('127.0.0.1', 'localhost');
  await patchLocal(provider, { apiServerURL: moved });
  await measured('address of the API server', async () => (await identity()).apiServerURL === moved);
  assert.is((await identity()).token, before.token);
  await patchLocal(provider, { apiServerURL: provider.plane.url, apiServerCABundle: null });
  await eventually(
    'all as it was',
    async () => (await identity()).apiServerURL === provider.plane.url,
    debouncer,
  );
});

test('a replaced gateway certificate is accepted by the cluster key’s statement', async () => {
  const before = (await localAt(provider))?.status;
  const issued = await issueSelfSignedCertificate({ hosts: ['127.0.0.1'], days: 30, now: Date.now() });
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  await provider.kube.patch(
    { kind: kind.secret, namespace, name: 'hawser-gateway-tls' },
    {
      metadata: { labels: { 'app.kubernetes.io/managed-by': 'a-person' } },
      data: { 'tls.crt': base64(issued.certificate), 'tls.key': base64(issued.privateKey) },
    },
    { type: 'merge' },
    provider.signal,
  );
  await writeFile(join(provider.directory, 'tls.key'), issued.privateKey);
  await writeFile(join(provider.directory, 'tls.crt'), issued.certificate);
  await measured(
    'pin of the gateway',
    async () => (await remoteAt(consumer))?.spec.gatewayPin === issued.pin,
  );
  const remote = await remoteAt(consumer);
  assert.ok(Date.parse(remote?.spec.gatewayPinSince ?? '') > Date.parse(before?.gatewayPinSince ?? ''));
  await patchLocal(provider, { mtu: 1450 });
  await negotiated();
});

test('a gateway that returns with another certificate is recognised', async () => {
  await provider.stopGateway();
  const issued = await issueSelfSignedCertificate({ hosts: ['127.0.0.1'], days: 30, now: Date.now() });
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  await provider.kube.patch(
    { kind: kind.secret, namespace, name: 'hawser-gateway-tls' },
    { data: { 'tls.crt': base64(issued.certificate), 'tls.key': base64(issued.privateKey) } },
    { type: 'merge' },
    provider.signal,
  );
  await eventually(
    'the statement about it',
    async () => (await localAt(provider))?.status?.gatewayPin === issued.pin,
    debouncer,
  );
  await provider.startGateway();
  await measured(
    'pin after an absence',
    async () => (await remoteAt(consumer))?.spec.gatewayPin === issued.pin,
  );
});

test('an address that does not answer does not replace a working one', async () => {
  const remote = await remoteAt(consumer);
  await patchLocal(provider, { gatewayURL: `https://127.0.0.1:${await freePort()}` });
  await negotiated();
  await patchLocal(provider, { mtu: 1440 });
  await negotiated();
  assert.is((await remoteAt(consumer))?.spec.gatewayURL, remote?.spec.gatewayURL);
  const moved = remote?.spec.gatewayURL?.replace('127.0.0.1', 'localhost') ?? '';
  await patchLocal(provider, { gatewayURL: moved });
  await measured('address of the gateway', async () => (await remoteAt(consumer))?.spec.gatewayURL === moved);
  await negotiated();
});

const rotate = async (cluster: Cluster): Promise<string | undefined> => {
  const local = await localAt(cluster);
  await patchLocal(cluster, { clusterKeyGeneration: (local?.status?.clusterKeyGeneration ?? 1) + 1 });
  return local?.status?.publicKey;
};
/** Whether both know each other's current keys, and each holds a document that the other signed with its own key. */
const keysAgree = async (): Promise<boolean> => {
  const [here, there] = await Promise.all([localAt(consumer), localAt(provider)]);
  const [provided, consumed] = await Promise.all([remoteAt(consumer), remoteAt(provider)]);
  return (
    provided?.spec.publicKey === there?.status?.publicKey &&
    consumed?.spec.publicKey === here?.status?.publicKey &&
    readStored(provided?.spec.networkDocument)?.publicKey === there?.status?.publicKey &&
    readStored(consumed?.spec.networkDocument)?.publicKey === here?.status?.publicKey &&
    isTrueOf(provided, 'Authenticated') &&
    isTrueOf(consumed, 'Authenticated') &&
    isTrueOf(await outgoing(), 'Negotiated')
  );
};

for (const sides of [['consumer'], ['provider'], ['consumer', 'provider']] as const) {
  test(`a key succession of ${sides.join(' and ')} is accepted by the old key’s signature`, async () => {
    const clusters = sides.map((side) => (side === 'consumer' ? consumer : provider));
    const before = await Promise.all(clusters.map(rotate));
    for (const [index, cluster] of clusters.entries())
      await eventually(
        'another key',
        async () => (await localAt(cluster))?.status?.publicKey !== before[index],
        debouncer,
      );
    await measured(`cluster key of ${sides.join(' and ')}`, keysAgree);
    const local = await localAt(provider);
    await patchLocal(provider, { mtu: local?.spec.mtu === 1430 ? 1420 : 1430 });
    await negotiated();
  });
}

test('a consumer that missed several successions of both keys reconnects and renews its identity', async () => {
  await consumer.stopController();
  for (let count = 0; count < 3; count++) {
    const before = await rotate(provider);
    await eventually(
      'another key',
      async () => (await localAt(provider))?.status?.publicKey !== before,
      debouncer,
    );
  }
  const name = `hawser-identity-${(await outgoing())?.metadata.name}`;
  await consumer.kube.delete({ kind: kind.secret, namespace, name }, {}, consumer.signal);
  await rotate(consumer);
  await consumer.startController(features);
  await measured('keys after an absence', keysAgree);
  assert.ok((await identity()).token);
  assert.is((await localAt(provider))?.status?.keySuccessions?.length, 5);
});

test('a request signed by the former key is refused', async () => {
  const secret = { kind: kind.secret, namespace, name: 'hawser-cluster-key' };
  const held = (await consumer.kube.get(secret, consumer.signal))?.data?.['privateKey'] ?? '';
  const formerKey = ClusterKey.fromPrivateKey(Buffer.from(held, 'base64').toString());
  await rotate(consumer);
  await eventually('the succession to be known', async () => {
    const known = (await remoteAt(provider))?.spec.publicKey;
    return known !== formerKey.publicKey && keysAgree();
  });
  const remote = await remoteAt(consumer);
  const client = createGatewayClient({
    url: remote?.spec.gatewayURL ?? '',
    pin: remote?.spec.gatewayPin ?? '',
    sign: createRequestSigner({
      key: formerKey,
      clusterID: (await localAt(consumer))?.status?.clusterID ?? '',
      recipient: keyFingerprint(remote?.spec.publicKey ?? ''),
    }),
  });
  const refused = await client.getParameters('default').then(
    () => undefined,
    (error: unknown) => error,
  );
  client.close();
  assert.ok(isProblem(refused, 'signature-refused'), String(refused));
});

test.run();
