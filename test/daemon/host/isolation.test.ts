/** The isolation rules in a kernel: a node with a bridge, pods on it, and the networks around it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createCommandRunner } from '../../../daemon/host/command.ts';
import { findForeignProblems } from '../../../daemon/host/foreign-problems.ts';
import { createHost, type Host } from '../../../daemon/host/host.ts';
import type { HostPlan } from '../../../daemon/host/plan.ts';
import { parseRange, readRanges } from '../../../shared/net/cidr.ts';
import { forbiddenRanges } from '../../../shared/net/isolation.ts';
import { createNamespace, type TestNamespace } from './namespace.ts';

const device = 'cni-hawser0';
/** The runner's deadline for the file applies. */
const { signal } = new AbortController();
const test = suite('isolation');

/** Last octet of each pod's address on the bridge, for both families. */
const pods = { first: 5, second: 6, rival: 7, own: 8, dns: 9, stranger: 20 } as const;
type Pod = keyof typeof pods;
const four = (pod: Pod) => `10.244.1.${pods[pod]}`;
const six = (pod: Pod) => `fd00:1::${pods[pod]}`;
const both = (...which: Pod[]) => which.flatMap((pod) => [four(pod), six(pod)]);

const plan: HostPlan = {
  device,
  mtu: 1420,
  addresses: [],
  routes: [{ prefix: '10.128.0.0/16' }],
  packets: {
    podRanges: ['10.244.0.0/16', 'fd00:1::/48'],
    remoteRanges: ['10.128.0.0/16'],
    ownAddresses: [],
    services: [],
  },
  isolation: {
    tenants: [
      {
        remoteCluster: 'alpha',
        here: both('first', 'second'),
        pods: [...both('first', 'second'), '10.244.2.6'],
        // The second: later nodes were created in a range that the consumer declared. The forbidden range takes precedence.
        home: ['10.128.0.0/16', '172.18.0.0/24'],
        // Partly this cluster's own, partly in home's ranges, and partly outside of this cluster.
        services: ['10.96.0.0/12', '10.128.0.0/24', '203.0.113.128/25', 'fd00:96::/112'],
      },
      { remoteCluster: 'beta', here: both('rival'), pods: both('rival'), home: [] },
    ],
    resolvers: both('dns'),
    forbidden: forbiddenRanges({
      podCIDRs: readRanges(['10.244.0.0/16', 'fd00:1::/48']),
      serviceCIDRs: readRanges(['10.96.0.0/16']),
      nodeCIDRs: readRanges(['172.18.0.0/24']),
      externalCIDR: parseRange('100.64.16.0/20'),
      apiServerAddresses: readRanges(['172.18.0.2', '198.51.100.9']),
    }).map(({ what, ranges }) => ({ what, ranges: ranges.map(({ text }) => text) })),
    unknown: {
      ranges: ['10.244.1.0/24', 'fd00:1::/64'],
      known: both('first', 'second', 'rival', 'own', 'dns'),
    },
  },
};

let node: TestNamespace;
let host: Host;
const spaces = new Map<Pod | 'lan' | 'home', TestNamespace>();
const servers: ChildProcess[] = [];
const space = (name: Pod | 'lan' | 'home') => spaces.get(name) as TestNamespace;

/** Every socket of the namespace answers with its own address. */
function serve(where: TestNamespace, ...ports: number[]): void {
  for (const port of ports)
    start(where, ['socat', `TCP6-LISTEN:${port},fork,reuseaddr,ipv6only=0`, 'SYSTEM:echo $SOCAT_SOCKADDR']);
}

function start(where: TestNamespace, command: readonly string[]): void {
  const [file = '', ...rest] = [...where.prefix, ...command];
  servers.push(spawn(file, rest, { detached: true, stdio: 'ignore' }));
}

test.before(() => {
  node = createNamespace('node');
  host = createHost(createCommandRunner(node.prefix));
  node.run(
    `sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 net.ipv6.conf.default.accept_dad=0
    ip link add cni0 type bridge; ip addr add 10.244.1.1/24 dev cni0; ip addr add fd00:1::1/64 dev cni0 nodad; ip link set cni0 up
    ip addr add 169.254.169.254/32 dev lo`,
  );
  for (const pod of Object.keys(pods) as Pod[]) {
    const made = createNamespace(pod);
    spaces.set(pod, made);
    node.run(
      `ip link add ${pod} type veth peer name eth0 netns ${made.name}; ip link set ${pod} master cni0 up`,
    );
    made.run(
      `ip addr add ${four(pod)}/24 dev eth0; ip addr add ${six(pod)}/64 dev eth0 nodad; ip link set eth0 up
      ip route add default via 10.244.1.1; ip -6 route add default via fd00:1::1`,
    );
    serve(made, 8080, 53);
  }
  start(space('own'), ['socat', '-u', 'TCP-LISTEN:9000,fork,reuseaddr', 'OPEN:/dev/null']);
  const attach = (name: 'lan' | 'home', nodeDevice: string, nodeSetup: string, addresses: string[]) => {
    const made = createNamespace(name);
    spaces.set(name, made);
    node.run(
      `ip link add ${nodeDevice} type veth peer name eth0 netns ${made.name}; ip link set ${nodeDevice} up; ${nodeSetup}`,
    );
    made.run(
      `ip link set eth0 up; ${addresses.map((address) => `ip addr add ${address}/32 dev eth0`).join('; ')}
      ip route add 172.18.0.11 dev eth0; ip route add 10.244.1.0/24 via 172.18.0.11`,
    );
    serve(made, 8080, 443);
  };
  attach('lan', 'eth0', 'ip addr add 172.18.0.11/24 dev eth0; ip route add default via 172.18.0.1 dev eth0', [
    '172.18.0.1',
    '172.18.0.2',
    '172.18.0.12',
    '203.0.113.5',
    '203.0.113.200',
    '198.51.100.9',
    '10.244.2.5',
    '10.244.2.6',
    '100.64.16.2',
  ]);
  attach(
    'home',
    device,
    'ip addr add 172.18.0.11/32 dev cni-hawser0; ip route add 10.128.3.4 dev cni-hawser0',
    ['10.128.3.4'],
  );
  // As kube-proxy writes them.
  const services = [
    ['10.96.0.1', 443, '172.18.0.2:443'],
    ['10.96.0.5', 80, `${four('second')}:8080`],
    ['10.96.0.6', 80, `${four('own')}:8080`],
    ['10.96.0.10', 53, `${four('dns')}:53`],
  ];
  node.run(
    `nft -f - <<END
    table ip proxy {
      chain prerouting {
        type nat hook prerouting priority dstnat;
        ${services.map(([address, port, target]) => `ip daddr ${address} tcp dport ${port} dnat to ${target}`).join('\n')}
      }
    }
END`,
  );
  serve(node, 10250, 8080, 53);
});

test.after(() => {
  for (const server of servers) {
    try {
      process.kill(-(server.pid ?? 0), 'SIGKILL');
    } catch {
      // It has ended already.
    }
  }
  for (const each of spaces.values()) each.remove();
  node?.remove();
});

async function reaches(
  from: TestNamespace,
  address: string,
  port: number,
  seconds: number,
): Promise<boolean> {
  const target = address.includes(':') ? `[${address}]` : address;
  const { output } = await from.attempt(
    `socat -T3 - TCP:${target}:${port},connect-timeout=${seconds} </dev/null 2>/dev/null`,
  );
  return output.trim() !== '';
}

/** Asserts that connections are made, with time for a busy machine. */
async function assertReaches(
  from: Pod | 'lan' | 'home' | 'node',
  address: string,
  port = 8080,
): Promise<void> {
  const origin = from === 'node' ? node : space(from);
  for (let tries = 0; tries < 10; tries++) if (await reaches(origin, address, port, 2)) return;
  assert.unreachable(`${from} does not reach ${address} port ${port}`);
}

const assertReachesAll = (
  from: Pod,
  targets: readonly (readonly [address: string, port: number])[],
): Promise<unknown> => Promise.all(targets.map(([address, port]) => assertReaches(from, address, port)));

/** Counted attempts of a remote cluster's pods, by destination. */
async function counts(remoteCluster: string): Promise<(what: string) => number> {
  const all = await host.refusals(signal);
  return (what) =>
    all.find((each) => each.remoteCluster === remoteCluster && each.reason === what)?.packets ?? 0;
}

/** Asserts that connections are refused, and that the expected counter counts each. */
async function assertRefused(
  from: Pod | 'lan' | 'home',
  remoteCluster: string,
  attempts: readonly [what: string, address: string, port: number][],
): Promise<void> {
  const before = await counts(remoteCluster);
  await Promise.all(
    attempts.map(async ([, address, port]) => {
      const made = await reaches(space(from), address, port, 0.8);
      assert.is(made, false, `${from} reaches ${address} port ${port}`);
    }),
  );
  const after = await counts(remoteCluster);
  for (const what of new Set(attempts.map(([each]) => each))) {
    const fewest = before(what) + attempts.filter(([each]) => each === what).length;
    assert.ok(after(what) >= fewest, `${from}: ${after(what)} of ${what} are counted, not ${fewest}`);
  }
}

/** The link-local address of a device, as pods write it. */
const linkLocal = (where: TestNamespace, name: string): string =>
  `${/inet6 (fe80:[0-9a-f:]+)/.exec(where.run(`ip -6 addr show dev ${name} scope link`))?.[1]}%eth0`;

/** Whether frames of bridges pass the node's IP hooks. */
const setBridgeNetfilter = (value: 0 | 1) =>
  node.run(
    `sysctl -qw net.bridge.bridge-nf-call-iptables=${value} net.bridge.bridge-nf-call-ip6tables=${value}`,
  );

test('without rules every pod reaches everything', async () => {
  await assertReachesAll('first', [
    [four('own'), 8080],
    [six('rival'), 8080],
    ['10.244.2.5', 8080],
    ['169.254.169.254', 8080],
    ['172.18.0.11', 10250],
    ['10.244.1.1', 10250],
    ['fd00:1::1', 10250],
    ['172.18.0.12', 8080],
    ['172.18.0.2', 443],
    ['198.51.100.9', 443],
    ['100.64.16.2', 8080],
    ['203.0.113.5', 8080],
    [linkLocal(node, 'cni0'), 10250],
    [linkLocal(space('rival'), 'eth0'), 8080],
  ]);
});

for (const bridgeNetfilter of [0, 1] as const) {
  test(`a consumer’s pod reaches only allowed destinations with bridge-nf-call-iptables=${bridgeNetfilter}`, async () => {
    setBridgeNetfilter(bridgeNetfilter);
    await host.apply(plan, signal);

    const refused: [what: string, address: string, port: number][] = [
      ['Metadata', '169.254.169.254', 8080],
      ['Node', '172.18.0.11', 10250],
      ['Cluster', '10.244.1.1', 10250],
      ['Cluster', 'fd00:1::1', 10250],
      ['Node', '172.18.0.12', 8080],
      ['APIServer', '172.18.0.2', 443],
      ['APIServer', '198.51.100.9', 443],
      ['Cluster', '100.64.16.2', 8080],
      ['Cluster', four('own'), 8080],
      ['Cluster', six('own'), 8080],
      ['Cluster', four('rival'), 8080],
      ['Cluster', six('rival'), 8080],
      ['Cluster', four('dns'), 8080],
      ['Cluster', '10.244.2.5', 8080],
    ];
    await assertRefused('first', 'alpha', refused);

    await assertReachesAll('first', [
      [four('second'), 8080],
      [six('second'), 8080],
      ['10.244.2.6', 8080],
      [four('dns'), 53],
      [six('dns'), 53],
      ['10.128.3.4', 8080],
      ['203.0.113.5', 8080],
    ]);

    // In the opposite direction only its node and its home reach it.
    await assertReaches('node', four('first'));
    await assertReaches('node', six('first'));
    await assertReaches('home', four('first'));
    await assertRefused('own', 'alpha', [
      ['Entry', four('first'), 8080],
      ['Entry', six('first'), 8080],
    ]);
    await assertRefused('lan', 'alpha', [['Entry', four('first'), 8080]]);
    await assertRefused('rival', 'beta', [['Cluster', four('first'), 8080]]);
    // A link-local source address belongs to no pod.
    await assertRefused('first', '', [
      ['Metadata', linkLocal(node, 'cni0'), 10250],
      ['Metadata', linkLocal(space('rival'), 'eth0'), 8080],
    ]);
  });
}

test('Services are reachable if their back ends are', async () => {
  setBridgeNetfilter(1);
  await host.apply(plan, signal);
  await assertReaches('first', '10.96.0.10', 53);
  await assertReaches('first', '10.96.0.5', 80);
  await assertRefused('first', 'alpha', [
    ['APIServer', '10.96.0.1', 443],
    ['Cluster', '10.96.0.6', 80],
    ['Cluster', '10.96.0.77', 80],
  ]);
});

/** The error of a program that opens a connection; the deadline fails if there is none in time. */
async function failure(from: Pod, address: string, port: number): Promise<{ said: string }> {
  const target = address.includes(':') ? `[${address}]` : address;
  const { output } = await space(from).attempt(
    `socat -T3 - TCP:${target}:${port},connect-timeout=10 </dev/null 2>&1 || true`,
  );
  return { said: output };
}

test('a consumer’s pod is refused Services of its home at once, and reaches other destinations in their range', async () => {
  setBridgeNetfilter(1);
  await host.apply(plan, signal);
  node.run('ip -6 route replace fd00:96::/112 dev eth0');
  await assertRefused('first', 'alpha', [['HomeServices', '203.0.113.200', 8080]]);
  // Where both clusters have the same Service range, this cluster's rules apply.
  await assertRefused('first', 'alpha', [['Cluster', '10.96.0.77', 80]]);
  await assertReachesAll('first', [
    ['10.96.0.10', 53],
    ['10.96.0.5', 80],
    // Home's pods, whatever Service ranges home declares.
    ['10.128.3.4', 8080],
    ['203.0.113.5', 8080],
  ]);
  // Another consumer's ranges are not ranges of this one's home.
  await assertReaches('rival', '203.0.113.200');
  await assertReaches('own', '203.0.113.200');
  for (const [address, port] of [
    ['203.0.113.200', 8080],
    ['10.99.1.1', 80],
    ['fd00:96::1', 80],
    ['10.96.0.77', 80],
    ['10.96.0.1', 443],
    ['172.18.0.12', 8080],
  ] as const) {
    // With bridge-nf-call-iptables the bridge itself sends the reset, without the translation back to the Service's address
    // (nf_send_reset).
    setBridgeNetfilter(address === '10.96.0.1' ? 0 : 1);
    const { said } = await failure('first', address, port);
    assert.match(said, /Connection refused/, `${address} port ${port}: ${said}`);
  }
  const { output } = await space('first').attempt(
    `echo x | socat -T2 - UDP-CONNECT:203.0.113.200:53 2>&1 || true`,
  );
  assert.match(output, /Permission denied|No route to host|Host is unreachable|Connection refused/, output);
});

test('this cluster’s own pods are not restricted', async () => {
  for (const bridgeNetfilter of [0, 1] as const) {
    setBridgeNetfilter(bridgeNetfilter);
    await assertReachesAll('own', [
      [four('dns'), 8080],
      [six('dns'), 8080],
      ['169.254.169.254', 8080],
      ['172.18.0.11', 10250],
      ['10.244.1.1', 10250],
      ['172.18.0.2', 443],
      ['10.244.2.5', 8080],
    ]);
  }
  await assertReaches('node', '10.244.1.1', 10250);
});

test('an unknown address is isolated until its pod is known', async () => {
  for (const bridgeNetfilter of [0, 1] as const) {
    setBridgeNetfilter(bridgeNetfilter);
    await host.apply(plan, signal);
    await assertRefused('stranger', '', [
      ['Metadata', '169.254.169.254', 8080],
      ['Node', '172.18.0.11', 10250],
      ['APIServer', '172.18.0.2', 443],
      ['Cluster', four('own'), 8080],
      ['Cluster', six('own'), 8080],
    ]);
    await assertReaches('stranger', four('dns'), 53);
    await assertReaches('stranger', '203.0.113.5', 8080);
    const { isolation } = plan;
    assert.ok(isolation?.unknown);
    const known = [...isolation.unknown.known, ...both('stranger')];
    await host.apply(
      { ...plan, isolation: { ...isolation, unknown: { ...isolation.unknown, known } } },
      signal,
    );
    await assertReaches('stranger', four('own'), 8080);
    await assertReaches('stranger', '172.18.0.2', 443);
  }
});

test('applying again changes nothing, also in another process; counters continue; changes by others are reverted', async () => {
  setBridgeNetfilter(1);
  await host.apply(plan, signal);
  assert.equal((await host.apply(plan, signal)).changes, []);
  const before = await host.refusals(signal);
  assert.ok(before.length > 5);
  const tunnelled = { device, remoteRanges: plan.packets.remoteRanges };
  const run = createCommandRunner(node.prefix);
  assert.equal(await findForeignProblems(run, () => Promise.resolve(undefined), tunnelled, signal), []);
  const other = createHost(createCommandRunner(node.prefix));
  await other.apply(plan, signal);
  assert.equal(await other.refusals(signal), before);
  assert.equal((await other.apply(plan, signal)).changes, []);
  for (const command of [
    'nft delete table inet hawser-isolation',
    'nft delete table bridge hawser-isolation',
    'nft flush chain inet hawser-isolation from-alpha',
    `nft delete element inet hawser-isolation from4 { ${four('first')} }`,
    'nft add element bridge hawser-isolation known4 { 10.244.1.99 }',
    'nft flush set inet hawser-isolation watched4',
  ]) {
    node.run(command);
    assert.is((await other.apply(plan, signal)).changes.length, 1, command);
    assert.equal((await other.apply(plan, signal)).changes, [], command);
  }
});

test('connections opened before a pod’s address was known are closed', async () => {
  const { isolation: _isolation, ...open } = plan;
  await host.apply(open, signal);
  const stream = space('first').attempt(
    `(for i in $(seq 100); do sleep 0.1; echo more; done) | socat -u - TCP:${four('own')}:9000`,
  );
  await assertReaches('first', four('own'));
  // The first refused packet is the last one, since its sender gets a reset.
  const before = (await counts('alpha'))('Cluster');
  await host.apply(plan, signal);
  for (let tries = 0; tries < 100; tries++) {
    if ((await counts('alpha'))('Cluster') > before) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.ok(tries < 99, 'packets of the open connection are refused');
  }
  await stream;
});

test('the rules are removed with the last consumer’s pod', async () => {
  await host.apply(plan, signal);
  const { isolation: _isolation, ...without } = plan;
  assert.is((await host.apply(without, signal)).changes.length, 2);
  assert.not.match(node.run('nft list tables'), /isolation/);
  await host.apply(plan, signal);
  await host.cleanup(device, signal);
  assert.not.match(node.run('nft list tables'), /hawser/);
});

test.run();
