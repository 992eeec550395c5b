import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { knownHosts, targetsOf } from '../../../daemon/inband/targets.ts';
import type { EndpointSlice } from '../../../shared/kube/types.ts';

const slice = (endpoints: EndpointSlice['endpoints'], more: Partial<EndpointSlice> = {}): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'kubernetes', namespace: 'default' },
  addressType: 'IPv4',
  endpoints,
  ports: [
    { name: 'metrics', port: 9999, protocol: 'TCP' },
    { name: 'https', port: 6443, protocol: 'TCP' },
  ],
  ...more,
});
const at = (address: string, conditions?: EndpointSlice['endpoints'][number]['conditions']) => ({
  addresses: [address],
  ...(conditions && { conditions }),
});

test('targets are all ready addresses with the port named https', () => {
  assert.equal(targetsOf([slice([at('172.18.0.2'), at('172.18.0.3', { ready: true })])]), [
    { host: '172.18.0.2', port: 6443 },
    { host: '172.18.0.3', port: 6443 },
  ]);
  assert.equal(targetsOf([slice([at('172.18.0.2')], { ports: [{ name: 'http', port: 80 }] })]), []);
  assert.equal(
    targetsOf([slice([at('172.18.0.2')], { ports: [{ name: 'https', port: 443, protocol: 'UDP' }] })]),
    [],
  );
  assert.equal(targetsOf([slice([at('api.example')], { addressType: 'FQDN' })]), []);
  assert.equal(targetsOf([]), []);
  // As the API server writes a slice whose pod is gone.
  const empty = slice([], { endpoints: null, ports: null } as unknown as Partial<EndpointSlice>);
  assert.equal(targetsOf([empty, slice([at('172.18.0.2')])]), [{ host: '172.18.0.2', port: 6443 }]);
  assert.equal([...knownHosts([empty])], []);
});

test('a terminating endpoint is a target only while no other is ready', () => {
  const ending = at('10.244.1.4', { ready: false, serving: true, terminating: true });
  const dead = at('10.244.1.5', { ready: false, serving: false });
  assert.equal(
    targetsOf([slice([ending, dead]), slice([at('10.244.1.6')])]).map(({ host }) => host),
    ['10.244.1.6'],
  );
  assert.equal(
    targetsOf([slice([ending, dead])]).map(({ host }) => host),
    ['10.244.1.4'],
  );
  assert.equal([...knownHosts([slice([ending, dead])])], ['10.244.1.4', '10.244.1.5']);
});

test.run();
