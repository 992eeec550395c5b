/** The engine between real network namespaces: which packets pass, which do not, and what is counted and reported. */
import { readFile, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CookieGenerator } from '../../daemon/wireguard/cookie.ts';
import type { EngineDifference, EngineEvent, PeerConfiguration } from '../../native/index.js';
import { type EngineHandle, Lab, connect, eventually, sessionKeys } from './lab.ts';

interface Context {
  lab: Lab;
  a: EngineHandle;
  b: EngineHandle;
}

const test = suite<Context>('engine');
const tun = { name: 'cnihw0', mtu: 1420 };

test.before.each(async (context) => {
  context.lab = new Lab();
  await context.lab.open(['a', 'b']);
  context.a = context.lab.engine('a');
  context.b = context.lab.engine('b');
});

test.after.each(async ({ lab }) => {
  await lab.close();
});

/** Starts both engines, with each side's own range on its device and the other's range routed to it; no session yet. */
async function start(
  { lab, a, b }: Context,
  more: {
    peerOfA?: Partial<PeerConfiguration>;
    peerOfB?: Partial<PeerConfiguration>;
    rangeOfB?: string;
    threadPairs?: number;
  } = {},
): Promise<void> {
  const { threadPairs = 1 } = more;
  await a.start({ tun, port: 51820, threadPairs });
  await b.start({ tun, port: 51820, threadPairs });
  await lab.in('a', 'ip', ['addr', 'add', '10.1.0.1/16', 'dev', tun.name]);
  await lab.in('a', 'ip', ['addr', 'add', 'fd00:1::1/64', 'dev', tun.name, 'nodad']);
  await lab.in('a', 'ip', ['route', 'add', '10.2.0.0/16', 'dev', tun.name]);
  await lab.in('a', 'ip', ['-6', 'route', 'add', 'fd00:2::/64', 'dev', tun.name]);
  await lab.in('b', 'ip', ['addr', 'add', '10.2.0.1/16', 'dev', tun.name]);
  await lab.in('b', 'ip', ['addr', 'add', 'fd00:2::1/64', 'dev', tun.name, 'nodad']);
  await lab.in('b', 'ip', ['route', 'add', '10.1.0.0/16', 'dev', tun.name]);
  await lab.in('b', 'ip', ['-6', 'route', 'add', 'fd00:1::/64', 'dev', tun.name]);
  const routes = (own: string, other: string): EngineDifference['upsertRoutes'] => [
    { prefix: `10.${own}.0.0/16`, targets: ['local'] },
    { prefix: `fd00:${own}::/64`, targets: ['local'] },
    { prefix: `10.${other}.0.0/16`, targets: [1] },
    { prefix: `fd00:${other}::/64`, targets: [1] },
  ];
  await a.call('apply', {
    upsertPeers: [{ id: 1, endpoint: '192.0.2.2:51820', mtu: 0, ...more.peerOfA }],
    upsertRoutes: routes('1', '2'),
  });
  await b.call('apply', {
    upsertPeers: [{ id: 1, mtu: 0, ...more.peerOfB }],
    upsertRoutes: routes('2', '1'),
  });
}

const both = ({ a, b }: Context): Promise<void> => connect({ engine: a, peer: 1 }, { engine: b, peer: 1 });

async function ping(lab: Lab, from: string, to: string, parameters: string[] = []): Promise<boolean> {
  const family = to.includes(':') ? ['-6'] : [];
  return lab.in(from, 'busybox', ['ping', ...family, '-c', '1', '-W', '1', ...parameters, to]).then(
    () => true,
    () => false,
  );
}

/** Throughput of a TCP stream in bytes per second; the server is in the namespace `to`. */
async function stream(
  lab: Lab,
  from: string,
  to: string,
  address: string,
  more: string[] = [],
): Promise<number> {
  const server = lab.spawnIn(to, 'iperf3', ['-s', '-1']);
  try {
    let bytes = 0;
    const ran = await eventually(async () => {
      const output = await lab
        .in(from, 'iperf3', ['-c', address, '-J', '-t', '1', ...more])
        .catch(() => '{}');
      const { end } = JSON.parse(output) as { end?: { sum_received?: { bytes: number } } };
      bytes = end?.sum_received?.bytes ?? 0;
      return bytes > 0;
    });
    assert.ok(ran, 'the stream ran');
    return bytes;
  } finally {
    server.kill();
  }
}

const wanted = (events: EngineEvent[]): EngineEvent[] =>
  events.filter(({ type }) => type === 'handshake-wanted');

test('the engine carries both families, and confirms the session to the responder', async (context) => {
  const { lab, a, b } = context;
  await start(context);
  await both(context);
  assert.ok(await ping(lab, 'a', '10.2.0.1'));
  assert.ok(await ping(lab, 'b', '10.1.0.1'));
  assert.ok(await ping(lab, 'a', 'fd00:2::1'));
  const events = await b.events();
  assert.ok(events.some(({ type }) => type === 'session-confirmed'));
  assert.ok(
    events.some((event) => event.type === 'endpoint-changed' && event.endpoint === '192.0.2.1:51820'),
  );
  const [left, right] = [await a.counters(1), await b.counters(1)];
  assert.is(left['sentPackets'], right['receivedPackets']);
  assert.is(left['sentBytes'], right['receivedBytes']);
  assert.is(right['keepalivesReceived'], 1);
  assert.ok((await stream(lab, 'a', 'b', '10.2.0.1')) > 1e7);
  assert.ok((await stream(lab, 'a', 'b', 'fd00:2::1', ['-R'])) > 1e7);
  const after = await b.counters(1);
  for (const reason of ['malformed', 'authentication', 'replay', 'tunWriteFailed', 'sendFailed'])
    assert.is(after[reason], 0, reason);
});

test('packets without a session are staged, a handshake is requested, and they are sent afterwards', async (context) => {
  const { lab, a, b } = context;
  await start(context);
  const answer = ping(lab, 'a', '10.2.0.1', ['-W', '5']);
  assert.ok(await eventually(async () => wanted(await a.events()).length === 1));
  await both(context);
  assert.ok(await answer, 'the very first packet arrived');
  // Padding also stays within the peer's path MTU.
  await a.call('clearKeypairs', 1);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await a.call('apply', { upsertPeers: [{ id: 1, endpoint: '192.0.2.2:51820', mtu: 1403 }] });
  const before = (await b.counters(1))['receivedBytes'] ?? 0;
  const large = ping(lab, 'a', '10.2.0.1', ['-s', '1375', '-W', '5']);
  assert.ok(await eventually(async () => wanted(await a.events()).length === 1));
  await both(context);
  assert.ok(await large);
  const sealed = async (): Promise<number> => ((await b.counters(1))['receivedBytes'] ?? 0) - before;
  await eventually(async () => (await sealed()) >= 32 + 1403 + 32);
  assert.is(await sealed(), 32 + 1403 + 32, 'the packet, not padded beyond, and a keepalive');
  // The session is gone again: a handshake is requested, but at most once per second.
  await a.call('clearKeypairs', 1);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await Promise.all([1, 2, 3].map(() => ping(lab, 'a', '10.2.0.1')));
  const again = wanted(await a.events());
  assert.ok(again.length >= 1 && again.length <= 3, `asked ${again.length} times`);
  assert.is((await b.counters(1))['authentication'], 0);
});

test('a session replaced by simultaneous handshakes still decrypts', async (context) => {
  const { lab, a, b } = context;
  await start(context);
  await both(context);
  assert.ok(await ping(lab, 'a', '10.2.0.1'));
  // Both have initiated and answered, and A has the answer to its initiation: it sends with the new session, B with the old
  // one.
  const [ours, theirs] = [sessionKeys(), sessionKeys()];
  await b.call('addKeypair', 1, await ours.responder(b));
  await a.call('addKeypair', 1, await theirs.responder(a));
  await a.call('addKeypair', 1, await ours.initiator(a));
  await b.call('sendKeepalive', 1);
  assert.ok(await eventually(async () => (await a.counters(1))['keepalivesReceived'] === 1));
  // B has its answer now, and yields: its session decrypts, until A's keepalive confirms the other one.
  await b.call('addKeypair', 1, await theirs.initiator(b, true));
  await b.call('sendKeepalive', 1);
  assert.ok(await eventually(async () => (await a.counters(1))['keepalivesReceived'] === 2));
  await b.events();
  await a.call('sendKeepalive', 1);
  assert.ok(
    await eventually(async () => (await b.events()).some(({ type }) => type === 'session-confirmed')),
    'the one that both mean is current at both',
  );
  assert.ok(await ping(lab, 'b', '10.1.0.1'));
  // The next rekey, initiated by A: until it has the answer, A sends with the present session.
  const next = sessionKeys();
  await b.call('addKeypair', 1, await next.responder(b));
  assert.ok(await ping(lab, 'a', '10.2.0.1'));
  await a.call('addKeypair', 1, await next.initiator(a));
  await b.call('sendKeepalive', 1);
  assert.ok(await eventually(async () => (await a.counters(1))['keepalivesReceived'] === 3));
  for (const engine of [a, b]) assert.is((await engine.engineCounters())['unknownSession'], 0);
  // Cleared keys are gone, including those of replaced sessions.
  await a.call('clearKeypairs', 1);
  await b.call('sendKeepalive', 1);
  assert.ok(await eventually(async () => (await a.engineCounters())['unknownSession'] === 1));
});

test('overlapping ranges are translated in both directions, and only admitted packets pass', async (context) => {
  const { lab, a, b } = context;
  // Both use 10.1.0.0/16. A knows B's range as 10.2.0.0/16, B knows A's as 10.3.0.0/16.
  await a.start({ tun, port: 51820 });
  await b.start({ tun, port: 51820 });
  await lab.in('a', 'ip', ['addr', 'add', '10.1.0.1/16', 'dev', tun.name]);
  await lab.in('b', 'ip', ['addr', 'add', '10.1.0.1/16', 'dev', tun.name]);
  await lab.in('b', 'ip', ['addr', 'add', '10.1.7.7/16', 'dev', tun.name]);
  await lab.in('a', 'ip', ['route', 'add', '10.2.0.0/16', 'dev', tun.name, 'src', '10.1.0.1']);
  await lab.in('b', 'ip', ['route', 'add', '10.3.0.0/16', 'dev', tun.name, 'src', '10.1.0.1']);
  const real = '10.1.0.0/16';
  const peer = (mapped: string): PeerConfiguration => ({
    id: 1,
    mtu: 0,
    translation: {
      in: { source: [{ from: real, to: mapped }], destination: [] },
      out: { source: [], destination: [{ from: mapped, to: real }] },
    },
    admission: {
      local: [
        { prefix: real, groups: 1 },
        { prefix: '10.1.7.0/24', groups: 2 },
      ],
      remote: [{ prefix: real, groups: 1 }],
    },
  });
  await a.call('apply', {
    upsertPeers: [{ ...peer('10.2.0.0/16'), endpoint: '192.0.2.2:51820' }],
    upsertRoutes: [
      { prefix: '10.2.0.0/16', targets: [1] },
      { prefix: real, targets: ['local'] },
    ],
  });
  await b.call('apply', {
    upsertPeers: [peer('10.3.0.0/16')],
    upsertRoutes: [
      { prefix: '10.3.0.0/16', targets: [1] },
      { prefix: real, targets: ['local'] },
    ],
  });
  await both(context);
  assert.ok(await ping(lab, 'a', '10.2.0.1'));
  assert.ok(await ping(lab, 'b', '10.3.0.1'));
  assert.ok((await stream(lab, 'a', 'b', '10.2.0.1')) > 1e7);
  assert.ok(
    (await stream(lab, 'b', 'a', '10.3.0.1', ['-u', '-b', '20M', '-l', '3000'])) > 1e6,
    'fragments too',
  );
  assert.not.ok(await ping(lab, 'a', '10.2.7.7'), 'of a group that it shares with no peer');
  assert.is((await b.counters(1))['notAdmitted'], 1);
  // An ICMP error quotes the packet with its receiver's addresses.
  const refused = await lab
    .in('a', 'busybox', ['nc', '-u', '-w', '2', '10.2.0.1', '9'], 5)
    .then(() => 'ended')
    .catch(() => 'refused');
  assert.ok(['ended', 'refused'].includes(refused));
  assert.is((await b.counters(1))['malformed'], 0);
});

test('too big packets are answered with ICMP, and the MSS is clamped', async (context) => {
  const { lab, a, b } = context;
  await start(context, { peerOfA: { mtu: 1280 }, peerOfB: { mtu: 1280 } });
  await both(context);
  assert.ok((await stream(lab, 'a', 'b', '10.2.0.1')) > 1e7);
  assert.ok((await stream(lab, 'b', 'a', 'fd00:1::1')) > 1e7);
  assert.is((await a.counters(1))['tooBig'], 0, 'TCP never had to be told');
  assert.not.ok(
    await ping(lab, 'a', '10.2.0.1', ['-s', '1350']),
    'the first is answered with packet-too-big',
  );
  assert.is((await a.counters(1))['tooBig'], 1);
  assert.match(await lab.in('a', 'ip', ['route', 'get', '10.2.0.1']), /mtu 1280/);
  // The other side learns the MTU in the same way when it answers the second ping; from then on both send fragments.
  const learnt = (to: string): Promise<boolean> => eventually(() => ping(lab, 'a', to, ['-s', '1350']));
  assert.ok(await learnt('10.2.0.1'));
  assert.ok(await learnt('fd00:2::1'));
  assert.ok(await ping(lab, 'a', '10.2.0.1', ['-s', '60000']), 'in fragments');
  assert.is((await b.counters(1))['malformed'], 0);
});

test('packets beyond the local interface’s MTU are fragmented, also during path probes', async (context) => {
  const { lab, a, b } = context;
  await start(context);
  await both(context);
  for (const name of ['a', 'b']) await lab.in(name, 'ip', ['link', 'set', 'eth0', 'mtu', '1300']);
  const running = stream(lab, 'a', 'b', '10.2.0.1', ['-u', '-b', '40M', '-l', '1380', '-t', '2']);
  let token = 0;
  const end = Date.now() + 2_500;
  while (Date.now() < end)
    await Promise.all(Array.from({ length: 20 }, () => a.call('sendPathProbe', 1, ++token, 64)));
  assert.ok((await running) > 1e6);
  assert.ok(token > 1_000, `${token} probes`);
  assert.is((await a.counters(1))['sendFailed'], 0);
  assert.is((await b.counters(1))['authentication'], 0);
});

test('ECN marks of the outer network reach the inner sender', async (context) => {
  const { lab, a } = context;
  await start(context);
  await both(context);
  for (const name of ['a', 'b']) await lab.in(name, 'sysctl', ['-q', 'net.ipv4.tcp_ecn=1']);
  // As a long queue marks packets of ECN-capable senders (RFC 3168, section 5).
  const rule = 'add table ip t; add chain ip t c { type filter hook postrouting priority 0; }';
  await lab.in('a', 'nft', [`${rule}; add rule ip t c udp dport 51820 ip ecn ect0 counter ip ecn set ce`]);
  const marksHeard = async (): Promise<number> => {
    const lines = (await lab.in('a', 'cat', ['/proc/net/netstat']))
      .split('\n')
      .filter((line) => line.startsWith('TcpExt'));
    const [names = [], values = []] = lines.map((line) => line.split(' '));
    return Number(values[names.indexOf('TCPDeliveredCE')]);
  };
  assert.is(await marksHeard(), 0);
  assert.ok((await stream(lab, 'a', 'b', '10.2.0.1')) > 1e5);
  assert.match(await lab.in('a', 'nft', ['list', 'ruleset']), /counter packets [1-9]/);
  assert.ok((await marksHeard()) > 0, 'the receiver saw the marks, and its echoes reached the sender');
  assert.is((await a.counters(1))['congestionUnannounced'], 0);
});

test('a peer cannot send from foreign addresses', async (context) => {
  const { lab, a, b } = context;
  await start(context);
  await both(context);
  await lab.in('a', 'ip', ['addr', 'add', '10.9.0.1/32', 'dev', tun.name]);
  await lab.in('b', 'ip', ['route', 'add', '10.9.0.1/32', 'dev', tun.name]);
  assert.not.ok(await ping(lab, 'a', '10.2.0.1', ['-I', '10.9.0.1']));
  assert.is((await b.counters(1))['sourceNotAllowed'], 1);
  await b.call('apply', { upsertRoutes: [{ prefix: '10.9.0.1/32', targets: [1] }] });
  await a.call('apply', { upsertRoutes: [{ prefix: '10.9.0.1/32', targets: ['local'] }] });
  assert.ok(await ping(lab, 'a', '10.2.0.1', ['-I', '10.9.0.1']));
  // Before that, its own side admits only its sources.
  await a.call('apply', { tunSources: ['10.1.0.0/16', 'fd00:1::/64'] });
  assert.not.ok(await ping(lab, 'a', '10.2.0.1', ['-I', '10.9.0.1']));
  assert.is((await a.engineCounters())['sourceNotAllowed'], 1);
  assert.ok(await ping(lab, 'a', '10.2.0.1'));
});

test('a peer can roam, the port can change, and a peer can be removed', async (context) => {
  const { lab, a, b } = context;
  await start(context);
  await both(context);
  assert.ok(await ping(lab, 'a', '10.2.0.1'));
  await b.events();
  const port = await a.call('setPort', 0);
  assert.is.not(port, 51820);
  assert.ok(await ping(lab, 'a', '10.2.0.1'), 'from the new port');
  const moved = (await b.events()).find(({ type }) => type === 'endpoint-changed');
  assert.equal(moved, { type: 'endpoint-changed', peer: 1, endpoint: `192.0.2.1:${String(port)}` });
  assert.is(await b.call('endpoint', 1), `192.0.2.1:${String(port)}`);
  await b.call('apply', { removePeers: [1] });
  assert.not.ok(await ping(lab, 'a', '10.2.0.1'));
  assert.is((await b.engineCounters())['unknownSession'], 1);
  assert.is(await b.call('endpoint', 1), undefined);
  await a.call('close');
  await a.call('close');
  const devices = await lab.in('a', 'ip', ['link', 'show']);
  assert.not.match(devices, tun.name, 'the device went with the engine');
});

test('removal of the device is reported', async (context) => {
  const { lab, a } = context;
  await start(context);
  await lab.in('a', 'ip', ['link', 'del', tun.name]);
  assert.ok(await eventually(async () => (await a.events()).some(({ type }) => type === 'tun-closed')));
});

test('errors explain a used name, a used port and an invalid difference', async (context) => {
  const { lab, a, b } = context;
  await lab.in('a', 'ip', ['tuntap', 'add', 'dev', tun.name, 'mode', 'tun']);
  const failure = async (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'no error',
      (error: unknown) => String(error),
    );
  assert.match(await failure(a.start({ tun, port: 0 })), /exists already \(ip link del cnihw0\)/);
  await lab.in('a', 'ip', ['link', 'del', tun.name]);
  await a.start({ tun, port: 51820 });
  const second = lab.engine('a');
  assert.match(
    await failure(second.start({ tun: { ...tun, name: 'cnihw1' }, port: 51820 })),
    /UDP port 51820.*another program has it/,
  );
  await second.start({ tun: { ...tun, name: 'cnihw1' }, port: 0 });
  // Several pairs of threads share a port, but only within one engine: otherwise half of the peers would be lost.
  const shared = { threadPairs: 2, port: 51900 };
  const third = lab.engine('a');
  await third.start({ tun: { ...tun, name: 'cnihw2' }, ...shared });
  const fourth = lab.engine('a');
  assert.match(
    await failure(fourth.start({ tun: { ...tun, name: 'cnihw3' }, ...shared })),
    /UDP port 51900.*another program has it/,
  );
  await fourth.start({ tun: { ...tun, name: 'cnihw3' }, threadPairs: 2, port: 0 });
  assert.match(await failure(fourth.call('setPort', 51900)), /UDP port 51900.*another program has it/);
  assert.is(await third.call('setPort', 51901), 51901);
  assert.is(await fourth.call('setPort', 51900), 51900);
  assert.match(
    await failure(a.call('apply', { upsertRoutes: [{ prefix: '10.0.0.1/8', targets: [1] }] })),
    /host bits are zero/,
  );
  assert.match(
    await failure(a.call('apply', { upsertPeers: [{ id: 5000, mtu: 0 }] })),
    /5000 is too large.*maximumPeers, 1024/,
  );
  await b.start({ tun, port: 0, aead: ['openssl-evp'] });
});

test('invalid messages and floods do not reach JavaScript', async (context) => {
  const { lab, a } = context;
  await a.start({ tun, port: 51820 });
  const flood = `
    const { createSocket } = require('node:dgram');
    const socket = createSocket('udp4');
    let left = 400;
    const send = () => {
      if (left-- === 0) return socket.close();
      const bytes = Buffer.alloc([148, 92, 10, 64, 1000][left % 5], 0);
      bytes[0] = [1, 2, 7, 4, 4][left % 5];
      socket.send(bytes, 51820, '192.0.2.1', send);
    };
    send();`;
  await a.call('setPublicKey', new Uint8Array(32).fill(7));
  await lab.in('b', process.execPath, ['-e', flood]);
  const counters = await a.engineCounters();
  assert.is(counters['badMac1'], 80);
  assert.is(counters['malformed'], 80);
  assert.is(counters['unknownSession'], 160 + 80, 'and the responses to nothing that was sent');
  assert.equal(await a.events(), []);
});

const PUBLIC_KEY = new Uint8Array(32).fill(7);

/** Sends messages from the namespace `b` to engine `a`. */
async function sendTo({ lab }: Context, messages: readonly Uint8Array[]): Promise<void> {
  const flood = `
    const { createSocket } = require('node:dgram');
    const socket = createSocket('udp4');
    const messages = ${JSON.stringify(messages.map((bytes) => Buffer.from(bytes).toString('hex')))};
    const send = () => {
      const next = messages.shift();
      if (next === undefined) return socket.close();
      socket.send(Buffer.from(next, 'hex'), 51820, '192.0.2.1', send);
    };
    send();`;
  await lab.in('b', process.execPath, ['-e', flood]);
}

/** Messages of unknown peers with a valid mac1, which can be computed from the public key. */
function strangers(count: number): Uint8Array[] {
  const macs = new CookieGenerator(PUBLIC_KEY);
  return Array.from({ length: count }, (_, number) => {
    const bytes = new Uint8Array(148);
    bytes[0] = 1;
    new DataView(bytes.buffer).setUint32(4, number);
    macs.addMacs(bytes, 0);
    return bytes;
  });
}

test('notifications continue after removing a peer whose events were queued behind a flood', async (context) => {
  const { lab, a, b } = context;
  await start(context);
  await a.call('setPublicKey', PUBLIC_KEY);
  await both(context);
  assert.ok(await ping(lab, 'a', '10.2.0.1'));
  await b.call('setPort', 0);
  await a.events();
  // More events than one drain reads, including a move of a peer that is already removed.
  const removed = a.call('stallThen', 2_500, 'apply', { removePeers: [1] });
  await b.call('sendKeepalive', 1);
  await sendTo(context, strangers(300));
  await removed;
  const handshakes = (events: EngineEvent[]): number =>
    events.filter(({ type }) => type === 'handshake').length;
  let seen = 0;
  const all = async (count: number): Promise<boolean> => {
    seen += handshakes(await a.taken());
    return seen >= count;
  };
  assert.ok(await eventually(() => all(300)), `${seen} of 300`);
  await sendTo(context, strangers(5));
  assert.ok(
    await eventually(() => all(305)),
    'deaf: no handshake would be seen again, all sessions over in 180 s',
  );
});

test('the engine runs in a worker thread and ends with it', async ({ lab }) => {
  const program = fileURLToPath(new URL('engine-worker.ts', import.meta.url));
  const output = await lab.in('a', process.execPath, [program]);
  assert.is(output, 'true true false 0\n'.repeat(3));
});

/** How often each thread that reads the TUN device slept, as it does after each batch of packets. */
async function sleepsOfTunThreads(pid: number): Promise<number[]> {
  const sleeps: number[] = [];
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const status = await readFile(`/proc/${pid}/task/${thread}/status`, 'utf8');
    if (!/^Name:\s+hawser-tun-/m.test(status)) continue;
    sleeps.push(Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0));
  }
  return sleeps;
}

test('flows are distributed over pairs of threads, in order within each flow', async (context) => {
  const { lab, a } = context;
  await start(context, { threadPairs: 3 });
  await both(context);
  const server = lab.spawnIn('b', 'iperf3', ['-s', '-1']);
  assert.ok(await eventually(async () => (await lab.in('b', 'ss', ['-ltn'])).includes(':5201')));
  const before = await sleepsOfTunThreads(a.pid);
  assert.is(before.length, 3);
  const parameters = ['-c', '10.2.0.1', '-J', '-u', '-P', '12', '-l', '400', '-b', '2M', '-t', '3'];
  const { end } = JSON.parse(await lab.in('a', 'iperf3', parameters, 60)) as {
    end: { streams: { udp: { packets: number; out_of_order: number } }[] };
  };
  server.kill();
  const after = await sleepsOfTunThreads(a.pid);
  const work = after.map((count, index) => count - (before[index] ?? 0));
  const busy = work.filter((sleeps) => sleeps > 50);
  assert.ok(busy.length >= 2, `threads that worked: ${work.join(', ')}`);
  const packets = end.streams.reduce((sum, { udp }) => sum + udp.packets, 0);
  const late = end.streams.reduce((sum, { udp }) => sum + udp.out_of_order, 0);
  // The kernel may move a thread to another CPU between two sends; if several threads shared a flow, it would be out of order
  // all the time.
  assert.ok(packets > 1_000 && late <= packets / 100, `${late} of ${packets} out of order`);
});

test('an idle engine uses no CPU time', async (context) => {
  const { a } = context;
  await start(context);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const before = await a.usage();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const after = await a.usage();
  const used = after.user + after.system - before.user - before.system;
  assert.ok(used < 20_000, `${used} µs in a second`);
});

test.run();
