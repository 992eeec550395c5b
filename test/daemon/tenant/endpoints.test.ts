import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { AddressBook } from '../../../daemon/tenant/address-book.ts';
import { partEndpoints, viewOf } from '../../../daemon/tenant/endpoints.ts';
import { recordOf, servedSlice, servesOther } from '../../../daemon/tenant/served-slice.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';
import { readRanges } from '../../../shared/net/cidr.ts';
import type { Pod } from '../../../shared/kube/types.ts';

const here = readRanges(['10.244.0.0/16', '10.96.0.0/16', '192.0.2.0/24']);
const atHome = readRanges(['10.128.0.0/16', '100.64.32.0/20']);
const isOwnPod = (address: string) => address === '10.244.1.7';

/** The addresses that remain from slices of one endpoint each. */
const kept = (addresses: string[], view: Parameters<typeof partEndpoints>[1]) =>
  partEndpoints({ addressType: 'IPv4', endpoints: addresses.map((each) => ({ addresses: [each] })) }, view)
    .kept.flatMap((endpoint) => endpoint.addresses)
    .join(' ');

test('an endpoint must be one of the consumer’s own, here or at home, or it is removed', () => {
  const cases: [what: string, address: string, stays: boolean][] = [
    ['a pod of its own here', '10.244.1.7', true],
    ['a pod of its own at home', '10.128.3.4', true],
    ['an address that home has lent', '100.64.32.40', true],
    ['another tenant’s pod', '10.244.1.8', false],
    ['a Service', '10.96.0.1', false],
    ['a node', '192.0.2.10', false],
    ['the metadata service', '169.254.169.254', false],
    ['loopback', '127.0.0.1', false],
    ['some host of the world', '203.0.113.9', false],
    ['the same pod in IPv6’s clothes', '::ffff:10.244.1.8', false],
    ['a name', 'kubernetes.default', false],
  ];
  for (const [what, address, stays] of cases) {
    assert.is(kept([address], { atHome, here, isOwnPod }), stays ? address : '', what);
  }
});

test('while the consumer’s network is unknown, addresses that are certainly this cluster’s are still removed', () => {
  const view = { atHome: undefined, here, isOwnPod };
  assert.is(kept(['10.200.0.1', '10.244.1.7', '10.244.1.8', '192.0.2.10'], view), '10.200.0.1 10.244.1.7');
});

test('an endpoint with one foreign address is removed completely, and its neighbours stay', () => {
  const endpoints = [{ addresses: ['10.128.0.1', '10.96.0.1'] }, { addresses: ['10.128.0.2'] }];
  const parted = partEndpoints({ addressType: 'IPv4', endpoints }, { atHome, here, isOwnPod });
  assert.equal(parted.foreign, ['10.96.0.1']);
  assert.equal(parted.kept, [{ addresses: ['10.128.0.2'] }]);
});

test('an address belongs to its pod until the pod ends, and stale references are tolerated for five minutes', () => {
  let now = 0;
  const book = new AddressBook({ now: () => now, monotonic: () => now, after: () => () => undefined });
  const pod = (name: string, consumer: string, ip: string): Pod => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'twin', labels: { 'hawser.dev/origin': consumer } },
    status: { podIP: ip, podIPs: [{ ip }] },
  });
  const first = pod('a', 'elm', '10.244.1.7');
  const holds = (consumer: string) => [
    book.has(consumer, '10.244.1.7'),
    book.hadLately(consumer, '10.244.1.7'),
  ];
  assert.equal(book.change('twin/a', first, undefined), ['10.244.1.7']);
  assert.equal(book.change('twin/a', first, first), []);
  assert.equal(holds('elm'), [true, true]);
  assert.equal(holds('oak'), [false, false]);
  // At once: another pod may get the address immediately, without a notification if it is one of this cluster's own.
  assert.equal(book.change('twin/a', undefined, first), ['10.244.1.7']);
  now = 299_000;
  assert.equal(holds('elm'), [false, true]);
  const second = pod('b', 'oak', '10.244.1.7');
  assert.equal(book.change('twin/b', second, undefined), ['10.244.1.7']);
  assert.equal(holds('elm'), [false, false]);
  assert.equal(holds('oak'), [true, true]);
  book.change('twin/b', undefined, second);
  now = 700_000;
  assert.equal(holds('oak'), [false, false]);
});

test('this cluster’s own knowledge is decisive', () => {
  const view = viewOf(undefined, undefined, isOwnPod);
  assert.equal([view.atHome, view.here], [undefined, []]);
});

test('the served slice is the Service’s, with only the admitted parts of the record', () => {
  const record = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'web-x',
      namespace: 'shop-elm',
      uid: 'u1',
      labels: { 'hawser.dev/reflected': 'true', 'hawser.dev/service-name': 'web', other: 'x' },
      annotations: { 'external-dns.alpha.kubernetes.io/hostname': 'x' },
    },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.96.0.1'] }],
    ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
  };
  const peering = {
    metadata: { name: 'elm' },
    spec: { remoteCluster: 'elm' },
  } as unknown as IncomingPeering;
  const endpoint = { addresses: ['10.128.0.2'], hostname: 'web-0', nodeName: 'n', zone: 'z' };
  const served = servedSlice(record, peering, [endpoint]);
  assert.is(served?.metadata.name, 'hawser-u1');
  assert.is(served?.metadata.labels?.['kubernetes.io/service-name'], 'web');
  assert.is(served?.metadata.labels?.['hawser.dev/reflected'], undefined);
  assert.is(served?.metadata.labels?.['other'], undefined);
  assert.is(served?.metadata.annotations, undefined);
  assert.equal(served?.endpoints, [{ addresses: ['10.128.0.2'], hostname: 'web-0' }]);
  assert.is(served && recordOf(served), 'web-x');
  assert.ok(served && !servesOther(structuredClone(served), served));
  assert.ok(served && servesOther({ ...served, endpoints: [] }, served));
  const nameless = { ...record, metadata: { ...record.metadata, labels: {} } };
  assert.is(servedSlice(nameless, peering, []), undefined);
});

test.run();
