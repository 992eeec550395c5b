/** For any bytes of a stranger a device stays silent, throws nothing, and keeps working. Seeds make every run the same. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { CookieGenerator } from '../../../daemon/wireguard/cookie.ts';
import { encodeKey } from '../../../daemon/wireguard/keys.ts';
import { parseHandshakeMessage } from '../../../daemon/wireguard/messages.ts';
import { publicKeyOf } from '../../../daemon/wireguard/primitives.ts';
import { parseSet, UapiError } from '../../../daemon/wireguard/uapi.ts';
import { generator, Host, randomBytesOf, World } from './simulation.ts';

const test = suite('foreign bytes');

test('random bytes of every length parse to an exact message or null', () => {
  const random = generator(1);
  const bytesOf = randomBytesOf(random);
  for (let round = 0; round < 20_000; round++) {
    const bytes = bytesOf(Math.floor(random() * 200));
    if (random() < 0.5) bytes.set([1 + Math.floor(random() * 4), 0, 0, 0].slice(0, bytes.length));
    const message = parseHandshakeMessage(bytes);
    if (message === null) continue;
    const length = { initiation: 148, response: 92, 'cookie-reply': 64 }[message.type];
    assert.is(bytes.length, length);
  }
});

test('a device survives mutated, cut, spliced and replayed messages with valid mac1', () => {
  const world = new World(2);
  const [alice, bob] = ['192.0.2.1:1', '192.0.2.2:2'];
  const keys = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const;
  const left = new Host(world, alice);
  const right = new Host(world, bob);
  const configuration = (own: Uint8Array, remote: Uint8Array, endpoint?: string) => ({
    privateKey: own,
    port: 0,
    fwmark: 0,
    peers: [
      {
        publicKey: encodeKey(publicKeyOf(remote)),
        persistentKeepaliveSeconds: 0,
        mtu: 0,
        ...(endpoint === undefined ? {} : { endpoint }),
      },
    ],
    routes: [],
  });
  left.configure(configuration(keys[0], keys[1], bob));
  right.configure(configuration(keys[1], keys[0]));
  left.send(0, 'hello');
  world.run(1_000);
  right.backlog = 1_000;
  const corpus = world.captured.map(({ bytes }) => bytes);
  right.backlog = 0;
  const macs = new CookieGenerator(publicKeyOf(keys[1]));
  const random = world.random;
  const before = right.endpointOf(0);
  const answersBefore = world.captured.filter(({ from }) => from === bob).length;
  for (let round = 0; round < 3_000; round++) {
    const [one, two] = [0, 0].map(() => corpus[Math.floor(random() * corpus.length)] ?? new Uint8Array(0));
    const bytes = Uint8Array.from(one ?? []);
    const choice = random();
    if (choice < 0.5)
      for (let flips = 1 + random() * 4; flips > 0; flips--) {
        const at = Math.floor(random() * bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      }
    else if (choice < 0.8) bytes.set((two ?? bytes).subarray(0, Math.floor(random() * bytes.length)));
    const cut = random() < 0.1 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes;
    // Add a valid mac1, which a stranger who knows the public key can compute.
    if (cut.length >= 92 && random() < 0.7) macs.addMacs(cut, world.now);
    right.receive(cut, '203.0.113.9:9', bob);
    world.run(60);
  }
  assert.is(right.endpointOf(0), before, 'the peer did not move');
  const answers = world.captured.filter(({ from, to }) => from === bob && to === '203.0.113.9:9').length;
  assert.is(answers, 0, 'there was no answer');
  assert.ok(world.captured.filter(({ from }) => from === bob).length <= answersBefore + 20);
  left.send(0, 'still here');
  world.run(30_000);
  left.send(0, 'still here');
  world.run(1_000);
  assert.is(new TextDecoder().decode(right.received.at(-1)).replaceAll('\0', ''), 'still here');
});

test('any control text is a request or gives an errno', () => {
  const random = generator(3);
  const keys = [
    'private_key',
    'listen_port',
    'fwmark',
    'replace_peers',
    'public_key',
    'preshared_key',
    'endpoint',
    'allowed_ip',
    'remove',
    'update_only',
    'persistent_keepalive_interval',
    'replace_allowed_ips',
    'protocol_version',
    '',
    'nonsense',
  ];
  const values = [
    'true',
    'false',
    '0',
    '1',
    '65536',
    '-1',
    '',
    'ab'.repeat(32),
    '00'.repeat(32),
    '10.0.0.0/8',
    '10.0.0.0/99',
    '::/0',
    'fe80::1/64',
    '[::1]:1',
    '192.0.2.1:1',
    '[fe80::1%9]:1',
    '=',
    '\0',
    'ä'.repeat(1_000),
    '1e9',
    ' 1',
    '0x10',
  ];
  const pick = (list: readonly string[]) => list[Math.floor(random() * list.length)] ?? '';
  let accepted = 0;
  for (let round = 0; round < 20_000; round++) {
    const lines = Array.from(
      { length: Math.floor(random() * 6) },
      () => `${pick(keys)}${random() < 0.95 ? '=' : ''}${pick(values)}`,
    );
    try {
      parseSet(lines, () => null);
      accepted++;
    } catch (error) {
      assert.instance(error, UapiError);
    }
  }
  assert.ok(accepted > 100, `${accepted} accepted`);
});

test.run();
