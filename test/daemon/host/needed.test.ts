/** A route of Hawser never covers what a node needs, for any plan: as a table, and in a kernel. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createCommandRunner } from '../../../daemon/host/command.ts';
import { createHost } from '../../../daemon/host/host.ts';
import { networksIn, withhold } from '../../../daemon/host/needed.ts';
import type { HostPlan } from '../../../daemon/host/plan.ts';
import { createNamespace, type TestNamespace } from './namespace.ts';

const device = 'cni-hawser0';
const plan = (prefixes: string[], more: Partial<HostPlan> = {}): HostPlan => ({
  device,
  mtu: 1420,
  addresses: [{ prefix: '100.64.16.16/32', scope: 'global' }],
  routes: prefixes.map((prefix) => ({ prefix })),
  packets: {
    podRanges: ['10.244.0.0/16'],
    remoteRanges: prefixes,
    ownAddresses: ['100.64.16.16/32'],
    hostSource: '100.64.16.16',
    services: [],
  },
  needed: [
    { range: '192.0.2.10/32', what: 'the API server' },
    { range: '2001:db8::10/128', what: 'the API server' },
    { range: '198.51.100.53/32', what: 'a resolver' },
    { range: '100.100.100.200/32', what: 'a metadata service' },
  ],
  ...more,
});

const test = suite('ranges that a node needs');
const spaces: TestNamespace[] = [];
test.after(() => spaces.forEach((space) => space.remove()));

test('the kernel’s own non-default routes and addresses are needed', () => {
  const found = networksIn(
    [
      { dst: 'default', gateway: '192.0.2.1', dev: 'eth0' },
      { dst: '0.0.0.0/1', dev: 'tun0' },
      { dst: '2000::/3', dev: 'tun0' },
      { dst: '192.0.2.0/24', dev: 'eth0', protocol: 'kernel' },
      { dst: '10.8.0.0/16', dev: 'tun0', table: '52' },
      { type: 'blackhole', dst: '10.9.0.0/16', dev: '' },
      { dst: '203.0.113.7', gateway: '192.0.2.1', dev: 'eth0' },
      { dst: '10.7.0.0/16', nexthops: [] },
      { type: 'local', dst: '192.0.2.5', dev: 'eth0', table: 'local' },
      { type: 'local', dst: '127.0.0.0/8', dev: 'lo', table: 'local' },
      { type: 'local', dst: '10.96.0.1', dev: 'kube-ipvs0', table: 'local' },
      { type: 'broadcast', dst: '192.0.2.255', dev: 'eth0', table: 'local' },
      { type: 'multicast', dst: 'ff00::/8', dev: 'eth0', table: 'local' },
      { dst: 'fe80::/64', dev: 'eth0' },
      { dst: '100.65.0.0/16', dev: device },
      { type: 'blackhole', dst: '100.65.0.0/16', table: '7470' },
      { dst: 'nonsense', dev: 'eth0' },
      {},
    ],
    device,
  );
  assert.equal(found, {
    routes: ['10.7.0.0/16', '10.8.0.0/16', '10.9.0.0/16', '192.0.2.0/24', '203.0.113.7/32'],
    addresses: ['192.0.2.5/32'],
  });
});

test('a route that would cover a needed range is refused, with all rules for its range', () => {
  const kernel = {
    routes: ['10.8.0.0/16', '10.8.4.0/24', '10.20.0.0/14', '10.244.1.0/24'],
    addresses: ['192.168.7.5/32', '10.244.1.1/32'],
  };
  const cases: [prefix: string, what: string | undefined][] = [
    ['100.65.0.0/16', undefined],
    ['192.0.2.0/24', 'the API server'],
    ['2001:db8::/64', 'the API server'],
    ['198.51.100.53/32', 'a resolver'],
    ['100.96.0.0/11', 'a metadata service'],
    ['192.168.0.0/16', 'an address of this node'],
    ['10.8.0.0/16', 'a network to which this node has a route'],
    ['10.8.4.128/25', 'a network to which this node has a route'],
    ['10.21.0.0/16', 'a network to which this node has a route'],
    ['10.0.0.0/12', 'a network to which this node has a route'],
    ['10.9.0.0/16', undefined],
    // Whether a range may overlap the CNI's was decided with the pods in view.
    ['10.244.0.0/16', undefined],
  ];
  for (const [prefix, what] of cases) {
    const { refused } = withhold(plan([prefix]), kernel);
    assert.is(refused[0]?.needed.what, what, prefix);
  }
  const isolation = {
    tenants: [{ remoteCluster: 'oak', here: [], pods: [], home: ['192.0.2.0/25', '100.65.0.0/16'] }],
    resolvers: [],
    forbidden: [],
  };
  const made = withhold(plan(['100.65.0.0/16', '192.0.2.0/24'], { isolation }), kernel).plan;
  assert.equal(made.routes, [{ prefix: '100.65.0.0/16' }]);
  assert.equal(made.packets.remoteRanges, ['100.65.0.0/16']);
  assert.equal(made.packets.refusedRanges, ['192.0.2.0/24']);
  assert.equal(made.isolation?.tenants[0]?.home, ['100.65.0.0/16']);
});

/** A node with its network, a second device, and a VPN with its own routing table. */
function nodeWithNetworks(): TestNamespace {
  const space = createNamespace('needed');
  const attach = (name: string) =>
    `ip link add ${name} type veth peer name ${name}-peer; ip link set ${name} up; ip link set ${name}-peer up`;
  space.run(
    [
      `ip tuntap add dev ${device} mode tun; ip link set ${device} up`,
      ...['eth0', 'eth1', 'vpn0'].map(attach),
      'ip addr add 172.20.0.5/24 dev eth0; ip addr add 192.168.50.5/24 dev eth1',
      'ip route add default via 172.20.0.1',
      'ip route add 10.70.0.0/16 dev vpn0 table 52',
    ].join('\n'),
  );
  return space;
}

test('in a real kernel packets for the API server, a database and a VPN keep their routes under any plan', async () => {
  const space = nodeWithNetworks();
  spaces.push(space);
  const { signal } = new AbortController();
  const host = createHost(createCommandRunner(space.prefix));
  const hostile = ['192.0.2.0/24', '198.51.100.0/24', '192.168.50.0/24', '172.20.0.0/16', '10.70.0.0/16'];
  const first = await host.apply(plan([...hostile, '100.65.0.0/16']), signal);
  assert.equal(first.refused.map(({ prefix }) => prefix).toSorted(), hostile.toSorted());
  assert.equal(first.networks, ['10.70.0.0/16', '172.20.0.0/24', '192.168.50.0/24']);
  const way = (address: string) => /dev (\S+)/.exec(space.run(`ip route get ${address}`))?.[1];
  assert.is(way('192.0.2.10'), 'eth0', 'the API server, behind the default route');
  assert.is(way('198.51.100.53'), 'eth0', 'the resolver');
  assert.is(way('192.168.50.9'), 'eth1', 'a database at a second device');
  assert.is(way('172.20.0.9'), 'eth0', 'another node');
  assert.is(way('100.65.3.4'), device, 'what is harmless is routed');
  const table = space.run('nft list table inet hawser');
  assert.match(table, /iifname "cni-hawser0" ip saddr @refused4 drop/, 'and nothing comes from there');
  assert.equal((await host.apply(plan([...hostile, '100.65.0.0/16']), signal)).changes, []);

  // A route that existed before a needed network appeared in its range is removed.
  await host.apply(plan(['10.80.0.0/16']), signal);
  assert.is(way('10.80.0.9'), device);
  space.run('ip addr add 10.80.0.5/24 dev eth1');
  const later = await host.apply(plan(['10.80.0.0/16']), signal);
  assert.is(later.refused.length, 1);
  assert.is(way('10.80.0.9'), 'eth1');
  space.run('ip addr del 10.80.0.5/24 dev eth1');
  assert.equal((await host.apply(plan(['10.80.0.0/16']), signal)).refused, []);
  assert.is(way('10.80.0.9'), device, 'and comes back with the reason gone');
});

test.run();
