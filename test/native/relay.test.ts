/**
 * A node without a slot (a) reaches a remote cluster (r) through a gateway node (g), which decrypts, translates and encrypts
 * again, without its kernel's network stack.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type EngineHandle, Lab, connect, eventually } from './lab.ts';

interface Context {
  lab: Lab;
  a: EngineHandle;
  g: EngineHandle;
  r: EngineHandle;
}

const test = suite<Context>('relay');
const tun = { name: 'cnihw0', mtu: 1420 };

test.before(async (context) => {
  const lab = new Lab();
  context.lab = lab;
  await lab.open(['a', 'g', 'r']);
  for (const name of ['a', 'g', 'r'] as const) {
    context[name] = lab.engine(name);
    await context[name].start({ tun, port: 51820 });
  }
  const { a, g, r } = context;
  // Both clusters use 10.1.0.0/16: here the pods of node a are 10.1.1.0/24, and r's range is known as 10.2.0.0/16.
  const real = '10.1.0.0/16';
  await lab.in('a', 'ip', ['addr', 'add', '10.1.1.1/24', 'dev', tun.name]);
  await lab.in('a', 'ip', ['route', 'add', '10.2.0.0/16', 'dev', tun.name]);
  await lab.in('r', 'ip', ['addr', 'add', '10.1.9.1/24', 'dev', tun.name]);
  await lab.in('r', 'ip', ['route', 'add', '10.3.0.0/16', 'dev', tun.name]);
  await a.call('apply', {
    upsertPeers: [{ id: 1, mtu: 0, endpoint: '192.0.2.2:51820' }],
    upsertRoutes: [
      { prefix: '10.1.1.0/24', targets: ['local'] },
      { prefix: '10.2.0.0/16', targets: [1] },
    ],
  });
  await g.call('apply', {
    upsertPeers: [
      { id: 1, mtu: 0 },
      {
        id: 2,
        mtu: 1340,
        translation: {
          in: { source: [{ from: real, to: '10.2.0.0/16' }], destination: [] },
          out: { source: [], destination: [{ from: '10.2.0.0/16', to: real }] },
        },
        admission: { local: [{ prefix: real, groups: 1 }], remote: [{ prefix: real, groups: 1 }] },
      },
    ],
    upsertRoutes: [
      { prefix: '10.1.1.0/24', targets: [1] },
      { prefix: '10.2.0.0/16', targets: [2] },
    ],
  });
  await r.call('apply', {
    upsertPeers: [
      {
        id: 1,
        mtu: 0,
        endpoint: '192.0.2.2:51820',
        translation: {
          in: { source: [{ from: real, to: '10.3.0.0/16' }], destination: [] },
          out: { source: [], destination: [{ from: '10.3.0.0/16', to: real }] },
        },
      },
    ],
    upsertRoutes: [
      { prefix: real, targets: ['local'] },
      { prefix: '10.3.0.0/16', targets: [1] },
    ],
  });
  await connect({ engine: a, peer: 1 }, { engine: g, peer: 1 });
  await connect({ engine: r, peer: 1 }, { engine: g, peer: 2 });
  assert.ok(await eventually(async () => (await g.counters(2))['keepalivesReceived'] === 1));
});

test.after(async ({ lab }) => {
  await lab.close();
});

test('packets are forwarded between peers with a decremented hop limit, without the kernel', async ({
  lab,
  g,
}) => {
  const output = await lab.in('a', 'busybox', ['ping', '-c', '2', '-i', '0.2', '10.2.9.1']);
  assert.match(output, /2 packets received/);
  assert.match(output, /ttl=63/);
  const device = JSON.parse(await lab.in('g', 'ip', ['-j', '-s', '-4', 'link', 'show', tun.name])) as [
    { stats64: { rx: { packets: number } } },
  ];
  assert.is(device[0].stats64.rx.packets, 0);
  assert.is((await g.counters(2))['sentPackets'], 2);
});

test('ICMP errors about hop limit and MTU have the sender’s addresses', async ({ lab, g }) => {
  const route = await lab.in('a', 'busybox', [
    'traceroute',
    '-n',
    '-q',
    '1',
    '-w',
    '1',
    '-m',
    '3',
    '10.2.9.1',
  ]);
  assert.is(route.split('\n').filter((line) => line.includes('10.2.9.1')).length >= 2, true, route);
  assert.is((await g.counters(1))['timeExceeded'], 1);
  const big = (): Promise<boolean> =>
    lab.in('a', 'busybox', ['ping', '-c', '1', '-W', '1', '-s', '1350', '10.2.9.1']).then(
      () => true,
      () => false,
    );
  assert.ok(await eventually(big));
  assert.is((await g.counters(2))['tooBig'], 1);
  assert.match(await lab.in('a', 'ip', ['route', 'get', '10.2.9.1']), /mtu 1340/);
});

test('a TCP stream passes with a clamped MSS', async ({ lab, g }) => {
  const server = lab.spawnIn('r', 'iperf3', ['-s']);
  let bits = 0;
  const ran = await eventually(async () => {
    const output = await lab.in('a', 'iperf3', ['-c', '10.2.9.1', '-J', '-t', '1']).catch(() => '{}');
    const { end } = JSON.parse(output) as { end?: { sum_received?: { bits_per_second: number } } };
    bits = end?.sum_received?.bits_per_second ?? 0;
    return bits > 0;
  });
  server.kill();
  assert.ok(ran);
  console.log(`through a relay: ${(bits / 1e9).toFixed(2)} Gbit/s`);
  const [left, right] = [await g.counters(1), await g.counters(2)];
  for (const reason of ['malformed', 'notAdmitted', 'sourceNotAllowed', 'noRoute'])
    assert.is((left[reason] ?? 0) + (right[reason] ?? 0), 0, reason);
});

test('packets that are not admitted are not forwarded', async ({ lab, a, g }) => {
  await a.call('apply', { upsertRoutes: [{ prefix: '10.5.0.0/16', targets: [1] }] });
  await g.call('apply', { upsertRoutes: [{ prefix: '10.5.0.0/16', targets: [2] }] });
  await lab.in('a', 'ip', ['route', 'add', '10.5.0.0/16', 'dev', tun.name]);
  await lab.in('a', 'busybox', ['ping', '-c', '1', '-W', '1', '10.5.0.1']).catch(() => '');
  assert.is((await g.counters(2))['notAdmitted'], 1);
  assert.is((await g.counters(1))['notAdmitted'], 0);
});

test.run();
