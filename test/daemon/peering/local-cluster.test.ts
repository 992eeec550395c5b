/** LocalCluster: ID, addresses and certificate of this cluster. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  apiServerAddressesOf,
  apiServerHosts,
  apiServerURLOf,
  KnownNames,
} from '../../../daemon/peering/api-server.ts';
import { newClusterID } from '../../../daemon/peering/cluster-key.ts';
import { certificateNeed, gatewayHosts } from '../../../daemon/peering/gateway-certificate.ts';
import { endpointsOf, gatewayURLOf } from '../../../daemon/peering/local-cluster.ts';
import { clusterID } from '../../../shared/api/meta.ts';
import { systemClock } from '../../../shared/time.ts';
import { issueSelfSignedCertificate } from '../../../shared/trust/self-signed-certificate.ts';

const self = suite('LocalCluster');
const service = (name: string, ingress: object[], more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, ...more },
  spec: { ports: [{ port: 7443, protocol: 'TCP' }] },
  status: { loadBalancer: { ingress } },
});
self('a new cluster ID is a DNS label', () => {
  for (const name of [
    undefined,
    'production',
    'a-very-long-name-of-a-cluster-that-is-cut-somewhere',
    'ends-with-',
  ]) {
    const id = newClusterID(name, (length) => new Uint8Array(length).fill(255));
    assert.ok(clusterID.safeParse(id).success, id);
    assert.match(id, /-777777$/);
  }
});
self('the gateway URL comes from the load balancer or from the spec', () => {
  assert.is(gatewayURLOf({}, service('g', [{ ip: '198.18.0.5' }])), 'https://198.18.0.5:7443');
  assert.is(gatewayURLOf({}, service('g', [{ ip: 'fd00::5' }])), 'https://[fd00::5]:7443');
  assert.is(gatewayURLOf({}, service('g', [{ hostname: 'lb.example.com' }])), 'https://lb.example.com:7443');
  assert.is(gatewayURLOf({}, service('g', [])), undefined);
  assert.is(gatewayURLOf({ gatewayURL: 'https://x' }, undefined), 'https://x');
});
self('a tunnel endpoint has its key, and an address if there is one', () => {
  const annotated = { annotations: { 'hawser.dev/public-key': 'K' } };
  const one = service('hawser-tunnel-one', [{ ip: '1.2.3.4' }], annotated);
  one.spec.ports = [{ port: 7470, protocol: 'UDP' }];
  assert.equal(endpointsOf({}, [one, service('hawser-tunnel-two', [])]), [
    { name: 'one', publicKey: 'K', addresses: ['1.2.3.4:7470'] },
  ]);
  assert.equal(endpointsOf({ tunnelAddresses: ['vpn.example.com:1'] }, [one])[0]?.addresses, [
    'vpn.example.com:1',
  ]);
});
self('addresses of the API server come from its Service, its URLs, and the names in them', async () => {
  const info = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'cluster-info' },
    data: { kubeconfig: 'clusters:\n- cluster:\n    server: https://internal.example:6443\n' },
  };
  const hosts = apiServerHosts('https://[2001:db8::9]:6443', info, 'https://10.96.0.1:443');
  assert.equal(hosts, ['2001:db8::9', 'internal.example', '10.96.0.1']);
  assert.equal(apiServerHosts(undefined, undefined, 'nonsense'), []);
  let answer: Record<string, string[]> = { 'internal.example': ['192.0.2.7', '192.0.2.8'] };
  const names = new KnownNames({
    clock: systemClock,
    resolve: (name) =>
      answer[name] === undefined ? Promise.reject(new Error('no such name')) : Promise.resolve(answer[name]),
  });
  const { signal } = new AbortController();
  const behind = { endpoints: [{ addresses: ['10.0.0.1'] }] };
  const expected = ['10.0.0.1', '10.96.0.1', '192.0.2.7', '192.0.2.8', '2001:db8::9'];
  assert.equal(apiServerAddressesOf(hosts, behind, await names.lookUp(hosts, signal)), expected);
  answer = {};
  assert.equal(
    await names.lookUp(hosts, signal),
    ['192.0.2.7', '192.0.2.8'],
    'a DNS failure removes nothing',
  );
  assert.equal(await names.lookUp([], signal), []);
  assert.equal(await names.lookUp(hosts, signal), [], 'a name that is no longer requested is dropped');
});
self('the API server URL comes from the spec, cluster-info, or its endpoints', () => {
  const info = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'cluster-info' },
    data: { kubeconfig: 'clusters:\n- cluster:\n    server: https://api.example.com:6443\n' },
  };
  const slice = {
    apiVersion: 'v1',
    kind: 'EndpointSlice',
    metadata: { name: 'kubernetes' },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.1'] }],
    ports: [{ name: 'https', port: 6443 }],
  };
  assert.is(apiServerURLOf({}, info, slice).url, 'https://api.example.com:6443');
  assert.is(apiServerURLOf({}, undefined, slice).url, 'https://10.0.0.1:6443');
  assert.is(apiServerURLOf({ apiServerURL: 'https://x' }, info, slice).url, 'https://x');
  assert.is(apiServerURLOf({}, undefined, undefined).url, undefined);
  const published = (server: string) =>
    apiServerURLOf(
      {},
      { ...info, data: { kubeconfig: `clusters:\n- cluster:\n    server: ${server}\n` } },
      slice,
    ).url;
  assert.is(published('https://192.0.2.1:6443/'), 'https://192.0.2.1:6443');
  assert.is(
    published('https://rancher.example/k8s/clusters/c-1/'),
    'https://rancher.example/k8s/clusters/c-1',
  );
  assert.is(
    published('https://192.0.2.1:6443/?a=b'),
    'https://10.0.0.1:6443',
    'a URL that cannot be stored is not used',
  );
});
self('the certificate is renewed in time and when names are missing', async () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const hosts = gatewayHosts('hawser-system', ['198.18.0.5'], 'https://gw.example.com:7443');
  const issued = await issueSelfSignedCertificate({ hosts, days: 365, now });
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
    data: { 'tls.crt': base64(issued.certificate), 'tls.key': base64(issued.privateKey) },
  };
  const day = 86_400_000;
  assert.is(certificateNeed(undefined, hosts, now), 'Missing');
  assert.is(certificateNeed(secret, hosts, now), undefined);
  assert.is(certificateNeed(secret, [...hosts, '198.18.0.6'], now), 'OtherHosts');
  assert.is(certificateNeed(secret, [...hosts, 'other.example.com'], now), 'OtherHosts');
  assert.is(certificateNeed(secret, hosts, now + 300 * day), 'Expiring');
  assert.is(
    certificateNeed({ ...secret, data: { ...secret.data, 'tls.crt': base64('x') } }, hosts, now),
    'Unreadable',
  );
  const renewed = await issueSelfSignedCertificate({ hosts, days: 365, now, privateKey: issued.privateKey });
  assert.is(renewed.pin, issued.pin);
});
self.run();
