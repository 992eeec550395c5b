import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PlanError, differenceOf, hostLinkName, planBed } from '../plan.ts';
import type { BedRequest } from '../plan.ts';
import { parseStat } from '../processes.ts';
import { mountsBelow } from '../teardown.ts';

test('clusters overlap in all ranges except their address in the wide-area network', () => {
  const bed = planBed({ name: 'dev', clusters: ['home', 'away'], nodes: 2 }, 300, '/beds');
  const [home, away] = bed.clusters;
  assert.ok(home && away);
  assert.is(bed.wideAreaCIDR, '198.19.44.0/24');
  assert.is(home.podCIDR, away.podCIDR);
  assert.is(home.controlPlaneAddress, away.controlPlaneAddress);
  assert.equal([home.wideAreaAddress, away.wideAreaAddress], ['198.19.44.10', '198.19.44.11']);
  assert.equal(
    home.nodes.map(({ name, address, podCIDR }) => [name, address, podCIDR]),
    [
      ['home-n1', '172.18.0.11', '10.244.1.0/24'],
      ['home-n2', '172.18.0.12', '10.244.2.0/24'],
    ],
  );
  assert.equal(
    home.loadBalancerPool.filter((address) => away.loadBalancerPool.includes(address)),
    [],
  );
  assert.is(home.dnsServiceAddress, '10.96.0.10');
});

test('the maximum number of clusters still have distinct addresses', () => {
  const bed = planBed({ name: 'dev', clusters: 12 }, 0, '/beds');
  const addresses = bed.clusters.flatMap((cluster) => [cluster.wideAreaAddress, ...cluster.loadBalancerPool]);
  assert.is(new Set([...addresses, bed.hostAddress]).size, addresses.length + 1);
});

for (const [what, request] of [
  ['no cluster', { clusters: 0 }],
  ['too many clusters', { clusters: 13 }],
  ['two of one name', { clusters: ['a', 'a'] }],
  ['a bad name', { clusters: ['Home'] }],
  ['no node', { nodes: 0 }],
  ['half a node', { nodes: 1.5 }],
  ['a range that is none', { podCIDR: '10.244.0.0' }],
  ['a range that begins in the middle', { podCIDR: '10.244.1.0/16' }],
  ['a range too small for nodes', { podCIDR: '10.244.0.0/24' }],
] as [string, Partial<BedRequest>][]) {
  test(`refuses ${what}`, () => {
    assert.throws(
      () => planBed({ name: 'dev', ...request }, 0, '/beds'),
      (error: Error) => error instanceof PlanError,
    );
  });
}

test('names of links fit IFNAMSIZ for any name of the testbed', () => {
  assert.ok(hostLinkName('a-very-long-name').length <= 15);
});

test('a testbed of another shape is recognised, its wide-area address is not compared', () => {
  const bed = planBed({ name: 'dev' }, 0, '/beds');
  assert.is(differenceOf(bed, planBed({ name: 'dev' }, 9, '/beds')), undefined);
  assert.match(differenceOf(bed, planBed({ name: 'dev', clusters: 3 }, 0, '/beds')) ?? '', 'not c1, c2, c3');
  assert.match(differenceOf(bed, planBed({ name: 'dev', nodes: 1 }, 0, '/beds')) ?? '', 'has 2 nodes, not 1');
  assert.match(
    differenceOf(bed, planBed({ name: 'dev', podCIDR: '10.1.0.0/16' }, 0, '/beds')) ?? '',
    'not 10.1.0.0/16',
  );
  assert.match(
    differenceOf(bed, planBed({ name: 'dev', policies: true }, 0, '/beds')) ?? '',
    'enforces no network policies',
  );
});

test('only mounts below a directory are listed, deepest first', () => {
  const line = (point: string) => `36 35 98:0 / ${point} rw - ext4 /dev/root rw`;
  const info = ['/beds/dev', '/beds/dev/a\\040b', '/beds/dev/a\\040b/c', '/beds/develop', '/']
    .map(line)
    .join('\n');
  assert.equal(mountsBelow(info, '/beds/dev'), ['/beds/dev/a b/c', '/beds/dev/a b', '/beds/dev']);
});

test('a process whose name contains parentheses and spaces is parsed', () => {
  const fields = ['S', '1', ...Array.from({ length: 17 }, () => '0'), '4711', '0'];
  assert.equal(parseStat(`12 (a) b (c)) ${fields.join(' ')}`), { state: 'S', parent: 1, startTime: '4711' });
});

test.run();
