import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createCommandRunner } from '../../../daemon/host/command.ts';
import { createHost, type Host } from '../../../daemon/host/host.ts';
import { monitorHost } from '../../../daemon/host/monitor.ts';
import type { HostPlan } from '../../../daemon/host/plan.ts';
import { createNamespace, type TestNamespace } from './namespace.ts';

const device = 'cni-hawser0';
const plan: HostPlan = {
  device,
  mtu: 1420,
  addresses: [
    { prefix: '100.64.16.16/32', scope: 'global' },
    { prefix: '100.64.16.1/32', scope: 'host' },
  ],
  routes: [
    { prefix: '10.128.0.0/16', source: '100.64.16.16' },
    { prefix: '100.64.32.0/20', source: '100.64.16.16' },
    { prefix: 'fd00:2::/64' },
  ],
  packets: {
    podRanges: ['10.244.0.0/16', 'fd00:1::/64'],
    remoteRanges: ['10.128.0.0/16', '100.64.32.0/20', 'fd00:2::/64'],
    ownAddresses: ['100.64.16.16/32', '100.64.16.1/32'],
    hostSource: '100.64.16.16',
    services: [{ address: '100.64.16.1', protocol: 'udp', port: 7471 }],
  },
};

const test = suite<{ space: TestNamespace; host: Host }>('host');
const signal = AbortSignal.timeout(110_000);

test.before.each((context) => {
  context.space = createNamespace();
  context.space.run(`ip tuntap add dev ${device} mode tun; ip link set ${device} up`);
  context.host = createHost(createCommandRunner(context.space.prefix));
});
test.after.each((context) => context.space.remove());

/** The kernel state that a plan may change, as text. */
function snapshot(space: TestNamespace): string {
  return space.run(
    `ip -o addr; ip -o -6 addr; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; nft list ruleset`,
  );
}

test('a plan is applied, and applying it again changes nothing', async ({ space, host }) => {
  const first = await host.apply(plan, signal);
  assert.ok(first.changes.length > 5);
  assert.match(space.run('ip rule'), /^747:\s+from all lookup 7470/m);
  assert.match(space.run('ip -6 rule'), /^747:\s+from all lookup 7470/m);
  assert.match(space.run('ip route get 10.128.3.4'), /dev cni-hawser0 table 7470 src 100\.64\.16\.16/);
  assert.match(space.run('ip -6 route show table 7470'), /fd00:2::\/64 dev cni-hawser0/);
  assert.match(space.run(`ip -o link show ${device}`), /mtu 1420/);
  const before = snapshot(space);
  const again = await host.apply({ ...plan, routes: plan.routes.toReversed() }, signal);
  assert.equal(again.changes, []);
  assert.equal(snapshot(space), before);
});

test('another process recognises the applied plan without touching packets', async ({ space, host }) => {
  await host.apply(plan, signal);
  const before = snapshot(space);
  const other = createHost(createCommandRunner(space.prefix));
  await other.apply(plan, signal);
  assert.equal(snapshot(space), before);
  assert.equal((await other.apply(plan, signal)).changes, []);
});

test('every removed or changed part of the plan is restored', async ({ space, host }) => {
  space.run('iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -i eth7 -j DROP');
  await host.apply(plan, signal);
  const before = snapshot(space);
  const vandalism = [
    `ip addr del 100.64.16.16/32 dev ${device}`,
    `ip addr del 100.64.16.1/32 dev ${device}`,
    `ip addr add 9.9.9.9/24 dev ${device}`,
    `ip addr del 100.64.16.1/32 dev ${device}; ip addr add 100.64.16.1/32 dev ${device}`,
    'ip route del 10.128.0.0/16 table 7470',
    'ip route add 8.8.0.0/16 dev lo table 7470',
    'ip route replace 10.128.0.0/16 dev lo table 7470',
    `ip route replace 10.128.0.0/16 dev ${device} table 7470`,
    'ip route flush table 7470',
    'ip route del blackhole 10.128.0.0/16 table 7470 metric 4294967000',
    'ip route add unreachable 10.128.0.0/16 table 7470 metric 5',
    'ip -6 route flush table 7470',
    'ip rule del priority 747',
    'ip -6 rule del priority 747',
    'ip rule add priority 748 table 7470',
    'ip rule del priority 747; ip rule add priority 747 from 10.9.9.9 table 7470',
    `ip link set ${device} mtu 1300`,
    `ip link set ${device} down; ip link set ${device} up`,
    'nft delete table inet hawser',
    'nft flush chain inet hawser leaving',
    'nft add element inet hawser pods4 { 1.2.3.0/24 }',
    'nft add rule inet hawser entering drop',
    'nft flush chain ip filter FORWARD; iptables-nft -A FORWARD -i eth7 -j DROP',
  ];
  for (const command of vandalism) {
    space.run(command);
    const { changes } = await host.apply(plan, signal);
    assert.ok(changes.length > 0, `not noticed: ${command}`);
    assert.equal(sorted(snapshot(space)), sorted(before), command);
    assert.equal((await host.apply(plan, signal)).changes, [], command);
  }
});

/** The kernel lists addresses in the order of their creation, which has no meaning here. */
const sorted = (text: string) =>
  text
    .split('\n')
    .sort()
    .filter((line) => !/handle|scope link|fe80/.test(line));

test('accept rules come after others’ policies and before a final reject', async ({ space, host }) => {
  const chain = () => space.run('iptables-nft -S FORWARD').trim().split('\n').slice(1);
  const shape = () =>
    chain().map((rule) => (rule.includes('hawser') ? 'accept' : (rule.split('-j ')[1] ?? '')));
  space.run('iptables-nft -P FORWARD DROP; iptables-nft -N policies; iptables-nft -A FORWARD -j policies');
  await host.apply(plan, signal);
  assert.equal(shape(), ['policies', 'accept', 'accept']);
  space.run('iptables-nft -I FORWARD -i eth7 -j DROP');
  assert.equal((await host.apply(plan, signal)).changes, []);
  for (const final of ['REJECT --reject-with icmp-host-prohibited', 'DROP']) {
    space.run(`iptables-nft -A FORWARD -j ${final}; iptables-nft -A FORWARD -i eth8 -j ACCEPT`);
    assert.equal((await host.apply(plan, signal)).changes, [], 'what is never reached does not matter');
    space.run(`iptables-nft -D FORWARD -i eth8 -j ACCEPT`);
  }
  space.run('iptables-nft -F FORWARD; iptables-nft -A FORWARD -j REJECT');
  await host.apply(plan, signal);
  assert.equal(shape(), ['accept', 'accept', 'REJECT --reject-with icmp-port-unreachable']);
  // Packets would leave the chain before an appended policy: the accepts go after the policy.
  space.run('iptables-nft -D FORWARD -j REJECT; iptables-nft -A FORWARD -j policies');
  await host.apply(plan, signal);
  assert.equal(shape(), ['policies', 'accept', 'accept']);
  assert.equal((await host.apply(plan, signal)).changes, []);
});

test('a hundred saves and restores of the filter table by iptables add no rule, and cleanup finds all', async ({
  space,
  host,
}) => {
  const cycle = 'iptables-nft-save -t filter > /tmp/$$; iptables-nft-restore -T filter < /tmp/$$; rm /tmp/$$';
  const own = () => space.run('nft list chain ip filter FORWARD').match(/cni-hawser0/g)?.length ?? 0;
  space.run('iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -i eth7 -j DROP');
  space.run(cycle);
  await host.apply(plan, signal);
  assert.is(own(), 2);
  for (let count = 1; count <= 100; count++) {
    space.run(cycle);
    if (count % 10 === 0) assert.equal((await host.apply(plan, signal)).changes, [], `cycle ${count}`);
  }
  assert.is(own(), 2);
  await host.cleanup(device, signal);
  assert.is(own(), 0);
});

test('without the policy rule no packet for a remote leaves by the uplink, and flows begun meanwhile work afterwards', async ({
  space,
  host,
}) => {
  // An uplink with a neighbour that counts packets, and the masquerading of a CNI.
  space.run(
    'ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up; ip link set eth1 up; ' +
      'ip route add default via 192.0.2.1; ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent; ' +
      'iptables-nft -t nat -A POSTROUTING -o eth0 -j MASQUERADE; nft add table netdev seen; ' +
      "nft add chain netdev seen out '{ type filter hook egress device eth0 priority 0; }'; " +
      'nft add rule netdev seen out ip daddr 10.128.0.0/16 counter',
  );
  const leaked = () => Number(/packets (\d+)/.exec(space.run('nft list chain netdev seen out'))?.[1]);
  const flows = () => space.run('conntrack -L -d 10.128.1.4 2>/dev/null || true').trim();
  // Always from the same port, like a long-lived UDP client.
  const client =
    "const s = require('dgram').createSocket('udp4'); s.bind(5555, () => s.send('hello', 8081, '10.128.1.4', () => s.close()))";
  const say = async () => void (await space.attempt(`${process.execPath} -e "${client}"`));

  await say();
  assert.is(leaked(), 1, 'before Hawser it leaves');
  assert.match(flows(), /dst=192\.0\.2\.2/);
  await host.apply(plan, signal);
  assert.is(flows(), '', 'the connection of before is forgotten');

  space.run('ip rule del priority 747');
  await say();
  assert.is(leaked(), 1, 'without the rule nothing leaves');
  assert.is(flows(), '');
  await host.apply(plan, signal);
  assert.match(space.run('ip route get 10.128.1.4'), /dev cni-hawser0/);
});

test('applying a smaller plan removes the rest', async ({ space, host }) => {
  await host.apply(plan, signal);
  await host.apply({ ...plan, addresses: [], routes: [] }, signal);
  assert.equal(space.run('ip route show table 7470'), '');
  assert.not.match(space.run('ip rule; ip -6 rule'), /7470/);
  assert.not.match(space.run('ip -o addr'), /100\.64/);
});

test('after cleanup the node’s state is the original one', async ({ space, host }) => {
  space.run(
    'iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -i eth7 -j DROP; ip6tables-nft -P FORWARD DROP',
  );
  space.run('ip rule add priority 100 table 55; ip route add 10.77.0.0/16 dev lo table 55');
  const before = snapshot(space);
  await host.apply(plan, signal);
  space.run(`ip link del ${device}`);
  await host.cleanup(device, signal);
  space.run(`ip tuntap add dev ${device} mode tun; ip link set ${device} up`);
  assert.equal(sorted(snapshot(space)), sorted(before));
  assert.equal((await host.cleanup(device, signal)).changes, []);
});

test('without the device no packet for a remote leaves the node by another route', async ({
  space,
  host,
}) => {
  space.run(
    'ip link add eth0 type veth peer name eth1; ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up',
  );
  space.run('ip link set eth1 up; ip route add default via 192.0.2.1; ip -6 route add default dev eth0');
  await host.apply(plan, signal);
  space.run(`ip link del ${device}`);
  assert.match((await space.attempt('ip route get 10.128.3.4')).output, /Invalid argument/);
  assert.match((await space.attempt('ip -6 route get fd00:2::7')).output, /Invalid argument/);
  assert.match(space.run('ip route get 10.127.3.4'), /dev eth0/);
});

test('without the device the rest of the plan stays applied', async ({ space, host }) => {
  space.run(`ip link del ${device}`);
  await host.apply(plan, signal);
  assert.match(space.run('nft list table inet hawser'), /chain leaving/);
  space.run(`ip tuntap add dev ${device} mode tun; ip link set ${device} up`);
  await host.apply(plan, signal);
  assert.match(space.run('ip route show table 7470'), /10\.128/);
});

test('a failing command is an error with its output', async ({ host }) => {
  const wrong = { ...plan, routes: [{ prefix: '10.128.0.0/16', source: '1.2.3.4' }] };
  try {
    await host.apply(wrong, signal);
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /ip -4 -force -batch -: exit code 1: .*prefsrc|source|Invalid/i);
  }
});

test('the monitor reports changes', async ({ space, host }) => {
  await host.apply(plan, signal);
  const stop = new AbortController();
  let calls = 0;
  const running = monitorHost(
    { onChange: () => calls++, device, prefix: space.prefix, debounceMilliseconds: 20 },
    stop.signal,
  );
  const changedBy = async (command: string) => {
    const before = calls;
    space.run(command);
    const deadline = Date.now() + 3000;
    while (Date.now() < deadline) {
      if (calls > before) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.unreachable(command);
  };
  await new Promise((resolve) => setTimeout(resolve, 300));
  await changedBy('nft delete table inet hawser');
  await changedBy('ip rule del priority 747');
  await changedBy('ip route del 10.128.0.0/16 table 7470');
  await changedBy(`ip addr del 100.64.16.16/32 dev ${device}`);
  await changedBy('iptables-nft -F FORWARD');
  await changedBy(`ip link set ${device} mtu 1300`);
  await changedBy(`ip link del ${device}`);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const before = calls;
  space.run(
    'nft add table ip other; ip route add 10.9.0.0/16 dev lo; iptables-nft -t nat -A POSTROUTING -j MASQUERADE',
  );
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.is(calls, before, 'what others do is no news');
  stop.abort();
  await running;
});

test.run();
