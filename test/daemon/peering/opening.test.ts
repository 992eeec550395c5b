/** The opening of an in-band peering, in one of the clusters: real API server, no nodes. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runFabricController } from '../../../daemon/fabric/controller/index.ts';
import { runPeering } from '../../../daemon/peering/index.ts';
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import { ClusterKey } from '../../../shared/trust/cluster-key.ts';
import { signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import { Cluster, namespace } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';
import { isTrueOf, kind } from './helpers.ts';

const test = suite('an in-band opening');
const debouncer = 60_000;
const id = 'east-7d3k9a';
const remoteKey = ClusterKey.generate((length) => randomBytes(length));
let cluster: Cluster;

const remoteCluster = () => cluster.kube.get({ kind: kind.remoteCluster, name: id }, cluster.signal);
const tunnelTo = () => cluster.kube.get({ kind: kind.tunnel, name: id }, cluster.signal);
const keys = () =>
  cluster.kube.get({ kind: kind.secret, namespace, name: 'hawser-tunnel-keys' }, cluster.signal);

test.before(async () => {
  cluster = await Cluster.start({ name: 'west' });
  await cluster.startController({ peering: runPeering, fabric: runFabricController });
  await eventually('the cluster knows itself', async () => {
    const self = await cluster.kube.get({ kind: kind.localCluster, name: 'self' }, cluster.signal);
    return isTrueOf(self, 'CIDRsConsistent') && self?.status?.externalCIDR !== undefined;
  });
});
test.after(() => cluster?.stop());

/** Writes the objects that the command creates for the other cluster. */
async function open(seconds: number): Promise<RemoteCluster> {
  const self = await cluster.kube.get({ kind: kind.localCluster, name: 'self' }, cluster.signal);
  const networkDocument = signNetworkDocument(
    {
      version: 1,
      clusterID: id,
      recipient: self?.status?.clusterID ?? '',
      generation: Math.floor(Date.now() / 1000),
      requires: [],
      podCIDRs: ['10.244.0.0/16'],
      externalCIDR: '100.64.32.0/20',
      mtu: 1420,
      tunnelEndpoints: [
        { name: '0', publicKey: randomBytes(32).toString('base64'), addresses: ['198.51.100.7:7470'] },
      ],
      remaps: [],
      salt: randomBytes(32).toString('base64'),
      acknowledges: 0,
    },
    remoteKey,
  );
  return cluster.kube.create<RemoteCluster>(
    {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'RemoteCluster',
      metadata: { name: id },
      spec: {
        clusterID: id,
        publicKey: remoteKey.publicKey,
        controlPlane: 'InBand',
        servesInBand: true,
        keepTunnelUntil: new Date(Date.now() + seconds * 1000).toISOString(),
        networkDocument,
      },
    },
    cluster.signal,
  );
}

test('an in-band opening creates the tunnel and its key, and records who dials and who serves', async () => {
  const remote = await open(600);
  const tunnel = await eventually('the tunnel', tunnelTo, debouncer);
  assert.is(tunnel.spec.dialsInBand, true);
  assert.is(tunnel.spec.servesInBand, true);
  assert.not(tunnel.spec.consumer || tunnel.spec.provider, 'no peering needs it yet');
  await eventually('its key', async () => (await keys())?.data?.[id], debouncer);
  await cluster.apply([
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: 'hawser-in-band-token',
        namespace,
        ownerReferences: [
          {
            apiVersion: remote.apiVersion,
            kind: remote.kind,
            name: id,
            uid: remote.metadata.uid ?? '',
          },
        ],
      },
    },
  ]);
});

test('an abandoned opening is deleted with everything that it created', async () => {
  await cluster.kube.patch(
    { kind: kind.remoteCluster, name: id },
    { spec: { keepTunnelUntil: new Date(Date.now() + 1000).toISOString() } },
    { type: 'merge' },
    cluster.signal,
  );
  await eventually('no RemoteCluster', async () => (await remoteCluster()) === undefined, debouncer);
  await eventually('no Tunnel', async () => (await tunnelTo()) === undefined, debouncer);
  await eventually('no key', async () => (await keys()) === undefined, debouncer);
  const token = { kind: kind.secret, namespace, name: 'hawser-in-band-token' };
  await eventually(
    'no token',
    async () => (await cluster.kube.get(token, cluster.signal)) === undefined,
    debouncer,
  );
});

test('an opening that became a peering stays as long as the peering needs it', async () => {
  await open(600);
  await cluster.kube.create(
    {
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'OutgoingPeering',
      metadata: { name: id },
      spec: { remoteCluster: id, peering: 'default', nodeName: `hawser-${id}`, desired: 'Active' },
    } as never,
    cluster.signal,
  );
  await eventually('a tunnel of a consumer', async () => (await tunnelTo())?.spec.consumer, debouncer);
  const peering = await eventually(
    'what it waits for',
    async () => {
      const found = await cluster.kube.get({ kind: kind.outgoingPeering, name: id }, cluster.signal);
      return found?.status?.conditions?.find(({ type }) => type === 'IdentityValid');
    },
    debouncer,
  );
  assert.is(peering.reason, 'WaitingForTunnel', peering.message);
  await cluster.kube.patch(
    { kind: kind.remoteCluster, name: id },
    { spec: { keepTunnelUntil: new Date(Date.now() - 1000).toISOString() } },
    { type: 'merge' },
    cluster.signal,
  );
  await delay(2000);
  assert.ok(await remoteCluster());
  assert.ok(await tunnelTo());
  await cluster.kube.delete({ kind: kind.outgoingPeering, name: id }, {}, cluster.signal);
  await eventually('no RemoteCluster', async () => (await remoteCluster()) === undefined, debouncer);
  await eventually('no Tunnel', async () => (await tunnelTo()) === undefined, debouncer);
});

test.run();
