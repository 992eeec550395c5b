import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { apiVersion } from '../../../shared/api/meta.ts';
import { toMapped } from '../../../shared/net/address-mapping.ts';
import type { TestNamespace } from '../host/namespace.ts';
import { ClusterBed, eventually } from './cluster-bed.ts';
import { NetworkBed } from './network-bed.ts';

/** The fabric of two clusters with the same ranges, on real API servers, kernels and tunnels; no kubelet, no container. */
const test = suite('the fabric of two clusters');
let bed: NetworkBed;
let west: ClusterBed;
let east: ClusterBed;
const pods: Record<string, TestNamespace> = {};
const log = (line: string) => console.log(`  ${line}`);

test.before(async () => {
  bed = new NetworkBed();
  west = new ClusterBed(bed, 'west', '10.244.0.0/16', '100.64.16.0/20');
  east = new ClusterBed(bed, 'east', '10.244.0.0/16', '100.64.32.0/20');
  await Promise.all([west.up({ n1: 11, n2: 12 }), east.up({ n1: 21, n2: 22 })]);
  for (const cluster of [west, east]) for (const name of cluster.nodes.keys()) cluster.startNode(name);
});
test.after(async () => {
  await Promise.allSettled([west?.down(), east?.down()]);
  await bed?.close();
});

/** The address by which the other cluster knows it. */
const inWest = async (address: string) =>
  toMapped((await west.tunnel('east'))?.spec.remaps ?? [], address) ?? '';
const inEast = async (address: string) =>
  toMapped((await east.tunnel('west'))?.spec.remaps ?? [], address) ?? '';

/** The client address that the server sees, or the error output. */
const ask = async (from: TestNamespace, address: string, protocol: 'tcp' | 'udp' = 'tcp', seconds = 3) => {
  const command =
    protocol === 'tcp'
      ? `socat -T3 - TCP:${address}:8080,connect-timeout=${seconds} </dev/null`
      : `echo x | socat -t0.3 -T2 - UDP:${address}:8081`;
  return (await from.attempt(command)).output.trim();
};
const passes = async (from: TestNamespace, address: string) =>
  (await ask(from, address, 'tcp', 0.3)).startsWith('100.65.');

test('nodes get addresses, and the labelled node holds the tunnel endpoint', async () => {
  for (const cluster of [west, east]) {
    const nodes = await eventually(`${cluster.id}: nodes are programmed`, 60, async () => {
      const all = await cluster.fabricNodes();
      const programmed = all.filter(({ status }) =>
        status?.conditions?.some(({ type, status: is }) => type === 'Programmed' && is === 'True'),
      );
      return (
        programmed.length === 2 &&
        programmed.some(({ status }) => status?.heldTunnelEndpoint === '0') &&
        programmed
      );
    });
    assert.is(nodes.find(({ spec }) => spec.tunnelEndpoint === '0')?.metadata.name, 'n2');
    assert.is(new Set(nodes.map(({ spec }) => spec.externalAddress)).size, 2);
  }
});

test('peering creates Tunnels on both sides and verifies the path', async () => {
  const spec = (remoteCluster: string) => ({ remoteCluster, peering: 'default', desired: 'Active' });
  const begun = Date.now();
  await west.apply({
    apiVersion,
    kind: 'OutgoingPeering',
    metadata: { name: 'east' },
    spec: { ...spec('east'), nodeName: 'hawser-east' },
  });
  await east.apply({
    apiVersion,
    kind: 'IncomingPeering',
    metadata: { name: 'west' },
    spec: { ...spec('west'), grant: { cpu: '1', memory: '1Gi', pods: 10, podSecurity: 'baseline' } },
  });
  await Promise.all([west.know(east), east.know(west)]);
  await eventually(
    'both choose remaps',
    5,
    async () => (await west.tunnel('east')) && (await east.tunnel('west')),
  );
  await Promise.all([west.know(east), east.know(west)]);
  for (const [cluster, other] of [
    [west, 'east'],
    [east, 'west'],
  ] as const) {
    const tunnel = await eventually(`${cluster.id}: the path is verified`, 60, async () => {
      const found = await cluster.tunnel(other);
      return (
        found?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') && found
      );
    });
    assert.equal(
      tunnel.spec.remaps.map(({ real, mapped }) => [real, mapped]),
      [
        ['10.244.0.0/16', '100.65.0.0/16'],
        [other === 'east' ? '100.64.32.0/20' : '100.64.16.0/20', '100.64.0.0/20'],
      ],
    );
  }
  log(`path verified on both sides ${Date.now() - begun} ms after the peering`);
});

test('pods on any node, with the same addresses on both sides, reach each other by TCP, UDP and ICMP', async () => {
  await east.addNamespace('tenant');
  await east.addNamespace('twin');
  await east.apply({
    apiVersion,
    kind: 'TwinNamespace',
    metadata: { name: 'shop', namespace: 'tenant' },
    spec: { sourceNamespace: 'shop', sourceUID: 'x', namespace: 'twin' },
  });
  await east.status('incomingpeering', 'west', { tenantNamespace: 'tenant' });
  await east.status('twinnamespace', 'shop', { namespace: 'twin' }, 'tenant');
  for (const [cluster, name, node, address, podNamespace] of [
    [west, 'a1', 'n1', '10.244.1.5', 'default'],
    [west, 'a2', 'n2', '10.244.2.5', 'default'],
    [east, 'b1', 'n1', '10.244.1.5', 'twin'],
    [east, 'b2', 'n2', '10.244.2.5', 'twin'],
    [east, 'c1', 'n1', '10.244.1.6', 'default'],
  ] as const) {
    const space = await cluster.addPod(name, node, address, podNamespace);
    if (space !== undefined) pods[name] = space;
  }
  await west.addPod('remote-b1', 'hawser-east', await inWest('10.244.1.5'));
  await west.addPod('remote-b2', 'hawser-east', await inWest('10.244.2.5'));

  for (const [from, fromAddress] of [
    ['a1', '10.244.1.5'],
    ['a2', '10.244.2.5'],
  ] as const) {
    for (const to of ['10.244.1.5', '10.244.2.5']) {
      const [there, back] = [await inWest(to), await inEast(fromAddress)];
      for (const protocol of ['tcp', 'udp'] as const) {
        const said = await eventually(`${from} → ${there} by ${protocol}`, 30, async () => {
          const answer = await ask(pods[from]!, there, protocol);
          return /^[0-9.]+$/.test(answer) && answer;
        });
        assert.is(said, back, `${protocol}: the source is the asker’s remapped address`);
      }
      assert.match((await pods[from]!.attempt(`busybox ping -c2 -W2 ${there}`)).output, / 0% packet loss/);
    }
  }
  // And in the opposite direction, opened by the provider's pods.
  assert.is(await ask(pods['b1']!, await inEast('10.244.2.5')), await inWest('10.244.1.5'));
  assert.is(await ask(pods['b2']!, await inEast('10.244.1.5')), await inWest('10.244.2.5'));
});

test('a node reaches remote pods from its address of the external CIDR, and receives replies', async () => {
  for (const name of ['n1', 'n2']) {
    const own =
      (await west.fabricNodes()).find(({ metadata }) => metadata.name === name)?.spec.externalAddress ?? '';
    for (const to of ['10.244.1.5', '10.244.2.5']) {
      assert.is(await ask(west.node(name).space, await inWest(to)), await inEast(own), `${name} → ${to}`);
    }
  }
});

test('packets masqueraded by kube-proxy (NodePorts, also through another node) leave with the node’s address', async () => {
  const own =
    (await west.fabricNodes()).find(({ metadata }) => metadata.name === 'n1')?.spec.externalAddress ?? '';
  const { space, address } = west.node('n1');
  const target = `${await inWest('10.244.1.5')}:8080`;
  space.run(
    [
      `iptables-nft -t mangle -A PREROUTING -d ${address} -p tcp --dport 30080 -j MARK --set-xmark 0x4000/0x4000`,
      `iptables-nft -t nat -A PREROUTING -d ${address} -p tcp --dport 30080 -j DNAT --to-destination ${target}`,
      // kube-proxy accepts packets with its mark.
      'iptables-nft -A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT',
    ].join('\n'),
  );
  const seen = await inEast(own);
  const dial = async (from: TestNamespace) =>
    (await from.attempt(`socat -T3 - TCP:${address}:30080,connect-timeout=3 </dev/null`)).output.trim();
  assert.is(await dial(east.node('n2').space), seen, 'from outside of the cluster');
  assert.is(await dial(pods['a2']!), seen, 'from a pod on another node');
});

test('to a Service with a remote endpoint pods keep their source address, and the node uses its own', async () => {
  const own =
    (await west.fabricNodes()).find(({ metadata }) => metadata.name === 'n1')?.spec.externalAddress ?? '';
  const { space } = west.node('n1');
  for (const chain of ['PREROUTING', 'OUTPUT']) {
    space.run(
      `iptables-nft -t nat -A ${chain} -d 10.96.0.50 -p tcp --dport 80 -j DNAT --to-destination ${await inWest('10.244.1.5')}:8080`,
    );
  }
  const dial = async (from: TestNamespace) =>
    (await from.attempt('socat -T3 - TCP:10.96.0.50:80,connect-timeout=3 </dev/null')).output.trim();
  assert.is(await dial(pods['a1']!), await inEast('10.244.1.5'));
  assert.is(await dial(space), await inEast(own));
});

test('other pods, ports of nodes, Services and other sources cannot be reached', async () => {
  const refused = async (from: TestNamespace, address: string, port = 8080) => {
    const { code, output } = await from.attempt(
      `socat -T1 - TCP:${address}:${port},connect-timeout=1 </dev/null`,
    );
    assert.ok(code !== 0 || output.trim() === '', `${from.name} reached ${address}:${port}: ${output}`);
  };
  await refused(pods['a1']!, await inWest('10.244.1.6'));
  await refused(west.node('n1').space, await inWest('10.244.1.6'));
  await refused(pods['c1']!, await inEast('10.244.1.5'));
  await refused(east.node('n1').space, await inEast('10.244.1.5'));
  // Ports of the other side's gateway node, at its addresses of the external CIDR.
  bed.start(east.node('n2').space, ['socat', 'TCP-LISTEN:8080,fork,reuseaddr', 'SYSTEM:echo host']);
  await refused(west.node('n2').space, await inWest('100.64.32.17'));
  await refused(west.node('n2').space, await inWest('100.64.32.1'));
  await refused(pods['a1']!, await inWest('100.64.32.17'));
});

test('large packets pass, or the sender learns the MTU', async () => {
  const there = await inWest('10.244.1.5');
  const ping = async (size: number) =>
    (await pods['a1']!.attempt(`busybox ping -c3 -W2 -s ${size} ${there}`)).output;
  assert.match(await ping(1392), / 0% packet loss/);
  assert.not.match(pods['a1']!.run(`ip route get ${there}`), /mtu/);
  await ping(1393);
  assert.match(pods['a1']!.run(`ip route get ${there}`), /mtu 1420/);
  assert.match(await ping(3000), / 0% packet loss/, 'in fragments');
  const received = pods['a1']!.run(`socat -u -T5 TCP:${there}:8082,connect-timeout=3 - </dev/null | wc -c`);
  assert.is(received.trim(), '3000000');
});

test('rules and routes removed from a node’s kernel come back within seconds', async () => {
  const { space } = west.node('n1');
  const there = await inWest('10.244.1.5');
  for (const command of [
    'nft delete table inet hawser',
    'ip rule del priority 747',
    'ip route flush table 7470',
    'iptables-nft -F FORWARD',
    'ip link del cni-hawser0',
  ]) {
    space.run(command);
    await eventually(`${command}: repaired`, 30, async () => passes(pods['a1']!, there));
  }
});

test('killed node daemons restart within seconds, and connections survive', async () => {
  const there = await inWest('10.244.1.5');
  for (const [cluster, name] of [
    [west, 'n1'],
    [west, 'n2'],
    [east, 'n2'],
  ] as const) {
    await cluster.endNode(name, 'SIGKILL');
    const begun = Date.now();
    cluster.startNode(name);
    await eventually(`${cluster.id}/${name} is back`, 60, async () => {
      return passes(pods['a1']!, there);
    });
    log(`${cluster.id}/${name}: packets pass ${Date.now() - begun} ms after the start of a new process`);
  }
});

test('the tunnel endpoint moves from a node that is not Ready, with the same key', async () => {
  const before = (await west.tunnel('east'))?.status?.gatewayNode;
  assert.is(before, 'n2');
  const keys = (await west.fabricNodes()).map(({ status }) => status?.publicKey);
  await west.apply({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n1', labels: { 'hawser.dev/gateway': 'true' } },
  });
  await west.endNode('n2', 'SIGKILL');
  await west.setReady('n2', false);
  const begun = Date.now();
  await eventually('n1 holds the tunnel endpoint', 60, async () =>
    (await west.fabricNodes()).some(
      ({ metadata, status }) => metadata.name === 'n1' && status?.heldTunnelEndpoint === '0',
    ),
  );
  const there = await inWest('10.244.1.5');
  await eventually('packets pass', 60, async () => passes(pods['a1']!, there));
  log(`packets pass ${Date.now() - begun} ms after the node was not Ready`);
  const after = (await west.fabricNodes()).find(({ metadata }) => metadata.name === 'n1')?.status?.publicKey;
  assert.ok(keys.includes(after));
  await west.setReady('n2', true);
  west.startNode('n2');
  await eventually('the other node is back, without the tunnel endpoint', 60, async () =>
    (await west.fabricNodes()).some(
      ({ metadata, status }) =>
        metadata.name === 'n2' && status?.heldTunnelEndpoint === undefined && status?.publicKey !== after,
    ),
  );
  await eventually('its pods pass', 60, async () => passes(pods['a2']!, there));
});

test('the tunnel endpoint moves from a silent Ready node, which stays passive when it returns', async () => {
  const holders = async () =>
    (await west.fabricNodes()).flatMap(({ metadata, spec, status }) =>
      status?.heldTunnelEndpoint === undefined
        ? []
        : [`${metadata.name} ${spec.tunnelEndpoint} ${status.heldTunnelEndpoint}`],
    );
  assert.equal(await holders(), ['n1 0 0']);
  await west.apply({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n2', labels: { 'hawser.dev/gateway': 'true' } },
  });
  const there = await inWest('10.244.1.5');
  const { process: frozen } = west.node('n1');
  const begun = Date.now();
  frozen?.kill('SIGSTOP');
  try {
    await eventually('n2 holds the tunnel endpoint', 60, async () => (await holders()).includes('n2 0 0'));
    await eventually('packets pass', 60, async () => passes(pods['a2']!, there));
    log(`packets pass ${Date.now() - begun} ms after the holder froze`);
  } finally {
    frozen?.kill('SIGCONT');
  }
  await eventually(
    'it has let the tunnel endpoint go',
    60,
    async () => (await holders()).join() === 'n2 0 0',
  );
  await eventually('its own pods pass as well', 60, async () => passes(pods['a1']!, there));
  const lease = await west.plane.kubectl([
    'get',
    'lease',
    '-n',
    'hawser-system',
    'hawser-tunnel-endpoint-0',
    '-o',
    'json',
  ]);
  assert.is((JSON.parse(lease) as { spec: { holderIdentity: string } }).spec.holderIdentity, 'n2');
});

test('unpeering removes tunnel, routes and remote addresses, and nothing of others', async () => {
  await west.plane.kubectl(['delete', 'outgoingpeering.hawser.dev', 'east']);
  await eventually('the tunnel is gone', 60, async () => (await west.tunnel('east')) === undefined);
  await eventually('the routes are gone', 60, async () => {
    return !west.node('n1').space.run('ip route show table all').includes('table 7470');
  });
  const keys = await west.plane.kubectl([
    'get',
    'secret',
    'hawser-tunnel-keys',
    '--ignore-not-found',
    '-n',
    'hawser-system',
    '-o',
    'jsonpath={.data}',
  ]);
  assert.not.match(keys, /east/);
});

test('while a node daemon is replaced no packet for a remote leaves the node unencrypted', async () => {
  await east.apply({
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'hawser-node', namespace: 'hawser-system' },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'a', image: 'none' }] } },
    },
  });
  await east.endNode('n1', 'SIGTERM');
  const { space } = east.node('n1');
  assert.match(
    (await space.attempt(`ip route get ${await inEast('10.244.1.5')}`)).output,
    /Invalid argument/,
  );
  await east.plane.kubectl(['delete', 'daemonset', 'hawser-node', '-n', 'hawser-system']);
  east.startNode('n1');
  await eventually('it is back', 60, async () => space.run('ip link').includes('cni-hawser0'));
});

test('a node daemon of an uninstalled Hawser leaves nothing behind', async () => {
  for (const [cluster, name] of [
    [west, 'n1'],
    [east, 'n1'],
    [east, 'n2'],
  ] as const) {
    await cluster.endNode(name, 'SIGTERM');
    const { space } = cluster.node(name);
    assert.not.match(space.run('nft list ruleset'), /hawser/);
    assert.not.match(
      space.run('ip rule; ip -6 rule; ip route show table all; ip link; ip addr'),
      /(lookup|table) 7470|cni-hawser|100\.64\./,
    );
  }
});

test.run();
