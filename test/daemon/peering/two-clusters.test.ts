/** Two clusters peer: real API servers, the real gateway, controllers on both sides. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isTrueOf, issueToken as issueTokenOf, kind, peer as peerAt, type KubeClient } from './helpers.ts';
import { createGatewayClient } from '../../../daemon/clients/gateway/index.ts';
import { runPeering } from '../../../daemon/peering/index.ts';
import { readStored } from '../../../shared/trust/documents-cache.ts';
import { runTenant } from '../../../daemon/tenant/index.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { residueOf } from '../../../shared/residue.ts';
import { decodePeeringToken } from '../../../shared/trust/token-codec.ts';
import { Cluster, namespace } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';

const test = suite('two clusters peer');
let consumer: Cluster;
let provider: Cluster;
const features = { peering: runPeering, tenant: runTenant };
const issueToken = (by: Cluster = provider) => issueTokenOf(by);
const peer = (token: string, at: Cluster = consumer) => peerAt(token, at);

const localReady = (cluster: Cluster) =>
  eventually(`LocalCluster of ${cluster.plane.name} is ready`, async () => {
    const local = await cluster.kube.get({ kind: kind.localCluster, name: 'self' }, cluster.signal);
    return isTrueOf(local, 'Ready') && local;
  });

const names = async (kube: KubeClient, signal: AbortSignal) =>
  (await kube.list(kind.namespace, {}, signal)).items.map((each) => each.metadata.name);

test.before(async () => {
  [consumer, provider] = await Promise.all([
    Cluster.start({ name: 'consumer' }),
    Cluster.start({ name: 'provider' }),
  ]);
  await Promise.all([consumer.startController(features), provider.startController(features)]);
  await provider.startGateway();
});
test.after(async () => {
  await Promise.all([consumer?.stop(), provider?.stop()]);
});

test('each cluster detects its own ranges and addresses', async () => {
  const local = await localReady(provider);
  assert.match(local.status?.clusterID ?? '', /^provider-[a-z2-7]{6}$/);
  assert.equal(local.status?.podCIDRs, ['10.244.0.0/16']);
  assert.equal(local.status?.serviceCIDRs, ['10.96.0.0/16']);
  assert.match(local.status?.externalCIDR ?? '', /^100\.\d+\.\d+\.0\/20$/);
  assert.equal(local.status?.tunnelEndpoints?.[0]?.addresses, ['198.18.0.1:7470']);
  assert.is(local.status?.mtu, 1420);
});

test('a redeemed token gives an identity, and both sides store each other’s documents', async () => {
  await localReady(consumer);
  const token = await issueToken();
  const started = Date.now();
  const { metadata } = await peer(token);
  const ref = { kind: kind.outgoingPeering, name: metadata.name };
  const peering = await eventually('it is negotiated', async () => {
    const object = await consumer.kube.get(ref, consumer.signal);
    return isTrueOf(object, 'Negotiated') && isTrueOf(object, 'IdentityValid') && object;
  });
  const took = Date.now() - started;
  console.log(`\n  token to negotiated: ${took} ms`);
  assert.ok(took < 3000, `${took} ms`);
  assert.is(peering.status?.grant?.cpu, '4');
  assert.match(peering.status?.tenantNamespace ?? '', /^hawser-tenant-consumer-/);
  // The token has been redeemed and deleted.
  await eventually('the token Secret is gone', async () => {
    const secret = { kind: kind.secret, namespace, name: `hawser-token-${metadata.name}` };
    return (await consumer.kube.get(secret, consumer.signal)) === undefined;
  });
  const secret = await consumer.kube.get(
    { kind: kind.secret, namespace, name: `hawser-identity-${metadata.name}` },
    consumer.signal,
  );
  const identity = JSON.parse(Buffer.from(secret?.data?.['identity.json'] ?? '', 'base64').toString()) as {
    token: string;
  };
  // The identity has exactly its intended rights.
  const may = (verb: string, resource: string, where: string) =>
    provider.plane
      .kubectl([
        'auth',
        'can-i',
        verb,
        resource,
        '-n',
        where,
        `--token=${identity.token}`,
        `--server=${provider.plane.url}`,
        '--kubeconfig=/dev/null',
        '--insecure-skip-tls-verify',
      ])
      .then(
        (text) => text.trim() === 'yes',
        () => false,
      );
  const tenant = peering.status?.tenantNamespace ?? '';
  assert.ok(await may('create', 'twinnamespaces.hawser.dev', tenant));
  assert.not.ok(await may('create', 'pods', tenant));
  assert.not.ok(await may('get', 'secrets', tenant));
  assert.not.ok(await may('create', 'namespaces', ''));
  assert.not.ok(await may('get', 'secrets', namespace));
});

test('documents stay unchanged while nothing changes, and a change arrives at once', async () => {
  const remoteAt = async (cluster: Cluster) =>
    (await cluster.kube.list(kind.remoteCluster, {}, cluster.signal)).items[0];
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const before = readStored((await remoteAt(consumer))?.status?.localDocument);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const after = readStored((await remoteAt(consumer))?.status?.localDocument);
  assert.is(after?.generation, before?.generation);
  for (const [here, there, mtu] of [
    [provider, consumer, 1400],
    [consumer, provider, 1380],
  ] as const) {
    await here.kube.patch(
      { kind: kind.localCluster, name: 'self' },
      { spec: { mtu } },
      { type: 'merge' },
      here.signal,
    );
    const started = Date.now();
    await eventually(`${there.plane.name} knows the other’s MTU`, async () => {
      return readStored((await remoteAt(there))?.spec.networkDocument)?.mtu === mtu - 80;
    });
    console.log(
      `  change at ${here.plane.name} known at ${there.plane.name} after ${Date.now() - started} ms`,
    );
  }
  await eventually('negotiated again', async () => {
    const [peering] = (await consumer.kube.list(kind.outgoingPeering, {}, consumer.signal)).items;
    return isTrueOf(peering, 'Negotiated');
  });
});

test('a deleted identity is renewed by signature', async () => {
  const [peering] = (await consumer.kube.list(kind.outgoingPeering, {}, consumer.signal)).items;
  const ref = { kind: kind.secret, namespace, name: `hawser-identity-${peering?.metadata.name}` };
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const before = await consumer.kube.get(ref, consumer.signal);
  await consumer.kube.delete(ref, {}, consumer.signal);
  const after = await eventually('another identity is there', () => consumer.kube.get(ref, consumer.signal));
  assert.is.not(after.metadata.uid, before?.metadata.uid);
});

test('a restarted controller repeats nothing', async () => {
  const snapshot = async () => {
    const [remote] = (await consumer.kube.list(kind.remoteCluster, {}, consumer.signal)).items;
    const [peering] = (await consumer.kube.list(kind.outgoingPeering, {}, consumer.signal)).items;
    return [
      remote?.metadata.resourceVersion,
      peering?.metadata.resourceVersion,
      peering?.status?.identity?.expiresAt,
    ];
  };
  await new Promise((resolve) => setTimeout(resolve, 500));
  const before = await snapshot();
  await consumer.stopController();
  await consumer.startController(features);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  assert.equal(await snapshot(), before);
});

test('a second peering in the opposite direction shares the RemoteClusters, and its end leaves the first', async () => {
  await consumer.startGateway();
  const { metadata } = await peer(await issueToken(consumer), provider);
  const ref = { kind: kind.outgoingPeering, name: metadata.name };
  const negotiated = async () => isTrueOf(await provider.kube.get(ref, provider.signal), 'Negotiated');
  await eventually('the other way is negotiated', negotiated);
  for (const cluster of [consumer, provider]) {
    const remotes = await cluster.kube.list(kind.remoteCluster, {}, cluster.signal);
    assert.is(remotes.items.length, 1);
    assert.ok(remotes.items[0]?.spec.gatewayURL);
  }
  await provider.kube.delete(ref, {}, provider.signal);
  await eventually('it is gone', async () => (await provider.kube.get(ref, provider.signal)) === undefined);
  await eventually('the consumer has no object of it', async () => {
    return (await consumer.kube.list(kind.incomingPeering, {}, consumer.signal)).items.length === 0;
  });
  for (const cluster of [consumer, provider]) {
    assert.is((await cluster.kube.list(kind.remoteCluster, {}, cluster.signal)).items.length, 1);
  }
  const [first] = (await consumer.kube.list(kind.outgoingPeering, {}, consumer.signal)).items;
  assert.ok(isTrueOf(first, 'IdentityValid'));
});

test('an unredeemed token and one of this cluster are reported', async () => {
  const token = await issueToken();
  const client = createGatewayClient({
    url: `https://127.0.0.1:${provider.gatewayPort}`,
    pin: decodePeeringToken(token).gatewayPin,
    bearer: provider.plane.adminToken,
  });
  const [issued] = (await client.listTokens()).filter(({ state }) => state === 'Redeemable');
  await client.revokeToken(issued?.name ?? '');
  client.close();
  const { clusterID } = decodePeeringToken(token);
  const name = `${clusterID}.second`;
  await consumer.kube.create(
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'revoked', namespace },
      data: { token: Buffer.from(token).toString('base64') },
    } as never,
    consumer.signal,
  );
  await consumer.kube.create<OutgoingPeering>(
    {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'OutgoingPeering',
      metadata: { name },
      spec: {
        remoteCluster: clusterID,
        peering: 'second',
        tokenSecretName: 'revoked',
        nodeName: 'second',
        desired: 'Active',
      },
    },
    consumer.signal,
  );
  const ref = { kind: kind.outgoingPeering, name };
  const refused = await eventually('it is said', async () => {
    const object = await consumer.kube.get(ref, consumer.signal);
    return object?.status?.conditions?.find((each) => each.reason === 'TokenRefused');
  });
  assert.match(refused.message, /ask for a new one/);
  assert.not.match(JSON.stringify(refused), new RegExp(decodePeeringToken(token).secret));
  await consumer.kube.delete(ref, {}, consumer.signal);
  await eventually('it ends', async () => (await consumer.kube.get(ref, consumer.signal)) === undefined);
  assert.is((await consumer.kube.list(kind.remoteCluster, {}, consumer.signal)).items.length, 1);
});

test('a cluster that lost its key keeps its ID', async () => {
  const plane = provider;
  const ref = { kind: kind.localCluster, name: 'self' };
  const before = (await plane.kube.get(ref, plane.signal))?.status;
  const secret = { kind: kind.secret, namespace, name: 'hawser-cluster-key' };
  const key = await plane.kube.get(secret, plane.signal);
  await plane.stopController();
  await plane.kube.delete(secret, {}, plane.signal);
  await plane.startController(features);
  const after = await eventually('another key', async () => {
    const status = (await plane.kube.get(ref, plane.signal))?.status;
    return status?.publicKey !== before?.publicKey && status;
  });
  assert.is(after.clusterID, before?.clusterID);
  // Restores the old key from a backup.
  await plane.stopController();
  await plane.kube.delete(secret, {}, plane.signal);
  const { name, labels } = key?.metadata ?? { name: '' };
  await plane.kube.create(
    { ...key, apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace, ...(labels && { labels }) } },
    plane.signal,
  );
  await plane.startController(features);
  await eventually('the old key', async () => {
    return (await plane.kube.get(ref, plane.signal))?.status?.publicKey === before?.publicKey;
  });
});

test('unpeering leaves nothing on either side', async () => {
  const [peering] = (await consumer.kube.list(kind.outgoingPeering, {}, consumer.signal)).items;
  const tenant = peering?.status?.tenantNamespace ?? '';
  assert.ok((await names(provider.kube, provider.signal)).includes(tenant));
  const started = Date.now();
  await consumer.kube.delete(
    { kind: kind.outgoingPeering, name: peering?.metadata.name ?? '' },
    {},
    consumer.signal,
  );
  await eventually('the consumer has nothing left', async () => {
    const lists = await Promise.all([
      consumer.kube.list(kind.outgoingPeering, {}, consumer.signal),
      consumer.kube.list(kind.remoteCluster, {}, consumer.signal),
      consumer.kube.list(kind.secret, { namespace }, consumer.signal),
    ]);
    const left = lists.flatMap(({ items }) => items.map((each) => each.metadata.name));
    return left.every((name) => name === 'hawser-cluster-key' || name === 'hawser-gateway-tls');
  });
  console.log(`  unpeered at the consumer after ${Date.now() - started} ms`);
  await eventually('the provider has nothing left', async () => {
    const lists = await Promise.all([
      provider.kube.list(kind.incomingPeering, {}, provider.signal),
      provider.kube.list(kind.remoteCluster, {}, provider.signal),
    ]);
    return (
      lists.every(({ items }) => items.length === 0) &&
      !(await names(provider.kube, provider.signal)).includes(tenant)
    );
  });
  console.log(`  nothing left at the provider after ${Date.now() - started} ms`);
});

test('peering again works, and unpeering from a dead provider ends in bounded time', async () => {
  const { metadata } = await peer(await issueToken());
  const ref = { kind: kind.outgoingPeering, name: metadata.name };
  await eventually('it is negotiated', async () =>
    isTrueOf(await consumer.kube.get(ref, consumer.signal), 'Negotiated'),
  );
  await provider.stopGateway();
  await consumer.kube.delete(ref, {}, consumer.signal);
  const started = Date.now();
  await eventually(
    'it is gone',
    async () => (await consumer.kube.get(ref, consumer.signal)) === undefined,
    6000,
  );
  console.log(`  unpeered from a dead provider after ${Date.now() - started} ms`);
  const residue = await consumer.kube.get(
    { kind: kind.configMap, namespace, name: 'hawser-residue' },
    consumer.signal,
  );
  assert.match(residueOf(residue?.data, metadata.uid ?? '').join(), /hawser unpeer consumer-\S+ --incoming/);
});

test.run();
