/** The addresses of a provider's control plane, out-of-band and in-band. */
import { randomBytes } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { gatewayOf, locateAPIServer, tunnelWait } from '../../../daemon/peering/control-plane.ts';
import { offerTo } from '../../../daemon/peering/offer.ts';
import type { StoredIdentity } from '../../../daemon/peers/stored-identity.ts';
import type { LocalCluster, RemoteCluster } from '../../../shared/api/clusters.ts';
import type { Tunnel } from '../../../shared/api/network.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';
import { inBandURLs } from '../../../shared/net/in-band.ts';
import { ClusterKey } from '../../../shared/trust/cluster-key.ts';

const { publicKey } = ClusterKey.generate((length) => randomBytes(length));
const pin = 'ab'.repeat(32);
const remote = (spec: Partial<RemoteCluster['spec']>): RemoteCluster => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'RemoteCluster',
  metadata: { name: 'east' },
  spec: { clusterID: 'east', publicKey, controlPlane: 'InBand', gatewayPin: pin, ...spec },
});
const tunnel = (
  mapped: string,
  conditions: [type: string, status: 'True' | 'False', message: string][] = [],
) =>
  ({
    metadata: { name: 'east' },
    spec: {
      remoteExternalCIDR: '100.64.32.0/20',
      remaps: [
        { real: '100.64.32.0/20', mapped: '100.64.96.0/20', state: 'Draining' },
        { real: '100.64.32.0/20', mapped, state: 'InUse' },
      ],
    },
    status: {
      conditions: conditions.map(([type, status, message]) => ({ type, status, message })),
    },
  }) as unknown as Tunnel;
const held: StoredIdentity = {
  apiServerURL: 'https://100.64.32.3:6443',
  caBundle: 'CA 1',
  token: 't',
  expiresAt: '2026-01-01T01:00:00Z',
  renewAfter: '2026-01-01T00:40:00Z',
  tenantNamespace: 'hawser-tenant-west',
};

test('in-band addresses are the fixed ones under the remap in use', () => {
  assert.is(gatewayOf(remote({}), tunnel('100.64.32.0/20'))?.url, 'https://100.64.32.2:7443');
  assert.is(gatewayOf(remote({}), tunnel('100.64.112.0/20'))?.url, 'https://100.64.112.2:7443');
  assert.is(gatewayOf(remote({}), tunnel('100.64.32.0/20'))?.pin, pin);
  // Whatever URL is stored: in-band uses the address inside the tunnel.
  const gatewayURL = 'https://198.51.100.7:7443';
  assert.is(gatewayOf(remote({ gatewayURL }), tunnel('100.64.32.0/20'))?.url, 'https://100.64.32.2:7443');
  assert.is(gatewayOf(remote({}), undefined), undefined);
  assert.is(inBandURLs('fd00:1::/64')?.apiServer, 'https://[fd00:1::3]:6443');
});

test('out-of-band addresses are the declared ones, with or without a tunnel', () => {
  const gatewayURL = 'https://198.51.100.7:7443';
  const outside = remote({ controlPlane: 'OutOfBand', gatewayURL });
  assert.is(gatewayOf(outside, tunnel('100.64.32.0/20'))?.url, gatewayURL);
  assert.is(gatewayOf(remote({ controlPlane: 'OutOfBand' }), tunnel('100.64.32.0/20')), undefined);
  assert.is(tunnelWait(outside, undefined), undefined);
  const stated = {
    url: 'https://198.51.100.9:6443',
    caBundle: 'CA 2',
    tlsServerName: 'kubernetes.default.svc',
  };
  assert.is(locateAPIServer(held, outside, undefined, stated).apiServerURL, stated.url);
  assert.is(locateAPIServer(held, outside, undefined, stated).caBundle, 'CA 2');
  assert.is(locateAPIServer(held, outside, undefined, undefined), held);
  for (const url of ['https://169.254.169.254', 'https://127.0.0.1:6443', 'https://[fd00:ec2::254]'])
    assert.is(locateAPIServer(held, outside, undefined, { ...stated, url }), held, url);
});

test('an in-band API server is inside the tunnel, with its own name and the CA of the provider’s signed document', () => {
  const inside = tunnel('100.64.112.0/20');
  const stated = { url: 'https://198.51.100.9:6443', caBundle: 'CA 2' };
  const found = locateAPIServer(held, remote({}), inside, stated);
  assert.is(found.apiServerURL, 'https://100.64.112.3:6443');
  assert.is(found.caBundle, 'CA 2');
  assert.is(found.tlsServerName, 'kubernetes.default.svc');
  assert.is(found.token, held.token);
  assert.is(found.inBand, true, 'so that no proxy is asked for it');
  assert.is(locateAPIServer(found, remote({}), inside, stated), found, 'the same when nothing moved');
  assert.is(locateAPIServer(found, remote({}), undefined, stated), found, 'no tunnel is no news');
  assert.is(locateAPIServer(held, remote({}), inside, undefined).caBundle, 'CA 1');
});

test('no in-band request is sent before a probe has passed, with a message that explains why', () => {
  assert.match(tunnelWait(remote({}), undefined) ?? '', /being opened/);
  const closed = tunnel('100.64.32.0/20', [['Established', 'False', 'no handshake yet']]);
  assert.match(tunnelWait(remote({}), closed) ?? '', /no handshake yet/);
  const unproved = tunnel('100.64.32.0/20', [
    ['Established', 'True', 'open'],
    ['PathVerified', 'False', 'no probe was answered'],
  ]);
  assert.match(tunnelWait(remote({}), unproved) ?? '', /no probe was answered/);
  assert.is(tunnelWait(remote({}), tunnel('100.64.32.0/20', [['PathVerified', 'True', '']])), undefined);
});

test('an in-band consumer receives the addresses inside the tunnel and the API server’s own CA', () => {
  const local = {
    spec: { apiServerCABundle: 'CA of a load balancer' },
    status: {
      apiServerURL: 'https://198.51.100.9:6443',
      gatewayURL: 'https://198.51.100.7:7443',
      gatewayPin: pin,
      externalCIDR: '100.64.32.0/20',
    },
  } as unknown as LocalCluster;
  const peering = {
    metadata: { name: 'west' },
    spec: { remoteCluster: 'west', peering: 'default' },
  } as unknown as IncomingPeering;
  const inside = offerTo('west', [peering], local, 'CA of the cluster', true);
  assert.is(inside.apiServer?.url, 'https://100.64.32.3:6443');
  assert.is(inside.apiServer?.caBundle, 'CA of the cluster');
  assert.is(inside.apiServer?.tlsServerName, 'kubernetes.default.svc');
  assert.equal(inside.gateway, { url: 'https://100.64.32.2:7443', pin });
  const outside = offerTo('west', [peering], local, 'CA of the cluster');
  assert.is(outside.apiServer?.caBundle, 'CA of a load balancer');
  assert.is(outside.gateway?.url, 'https://198.51.100.7:7443');
});

test.run();
