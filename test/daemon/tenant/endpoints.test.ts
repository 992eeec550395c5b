import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { AddressBook, partEndpoints, viewOf } from '../../../daemon/tenant/endpoints.ts';
import type { Pod } from '../../../shared/kube/types.ts';

const here = ['10.244.0.0/16', '10.96.0.0/16', '192.0.2.0/24'];
const atHome = ['10.128.0.0/16', '100.64.32.0/20'];
const isOwnPod = (address: string) => address === '10.244.1.7';

/** Addresses that stay, out of slices of one endpoint each. */
const kept = (addresses: string[], view: Parameters<typeof partEndpoints>[1]) =>
  partEndpoints({ addressType: 'IPv4', endpoints: addresses.map((each) => ({ addresses: [each] })) }, view)
    .kept.flatMap((endpoint) => endpoint.addresses)
    .join(' ');

test('an endpoint is one of the consumer’s own, here or at home, or it goes', () => {
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

test('while the consumer’s network is not known, what is surely this cluster’s own goes all the same', () => {
  const view = { atHome: undefined, here, isOwnPod };
  assert.is(kept(['10.200.0.1', '10.244.1.7', '10.244.1.8', '192.0.2.10'], view), '10.200.0.1 10.244.1.7');
});

test('an endpoint with one foreign address goes whole, and its neighbours stay', () => {
  const endpoints = [{ addresses: ['10.128.0.1', '10.96.0.1'] }, { addresses: ['10.128.0.2'] }];
  const parted = partEndpoints({ addressType: 'IPv4', endpoints }, { atHome, here, isOwnPod });
  assert.equal(parted.foreign, ['10.96.0.1']);
  assert.equal(parted.kept, [{ addresses: ['10.128.0.2'] }]);
});

test('an address is its pod’s for five minutes after the pod, unless another consumer’s pod has it', () => {
  let now = 0;
  const book = new AddressBook({ now: () => now, monotonic: () => now, after: () => () => undefined });
  const pod = (name: string, consumer: string, ip: string): Pod => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'twin', labels: { 'hawser.dev/origin': consumer } },
    status: { podIP: ip, podIPs: [{ ip }] },
  });
  const first = pod('a', 'elm', '10.244.1.7');
  book.change('twin/a', first, undefined);
  assert.ok(book.has('elm', '10.244.1.7'));
  assert.not.ok(book.has('oak', '10.244.1.7'));
  book.change('twin/a', undefined, first);
  now = 299_000;
  assert.ok(book.has('elm', '10.244.1.7'));
  const second = pod('b', 'oak', '10.244.1.7');
  book.change('twin/b', second, undefined);
  assert.not.ok(book.has('elm', '10.244.1.7'));
  assert.ok(book.has('oak', '10.244.1.7'));
  book.change('twin/b', undefined, second);
  now = 700_000;
  assert.not.ok(book.has('oak', '10.244.1.7'));
});

test('what this cluster knows decides', () => {
  const view = viewOf(undefined, undefined, isOwnPod);
  assert.equal([view.atHome, view.here], [undefined, []]);
});

test.run();
