import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import type { DeviceConfiguration, PeerConfiguration } from '../../../daemon/wireguard/configuration.ts';
import {
  INITIATION_LENGTH,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
} from '../../../daemon/wireguard/constants-of-protocol.ts';
import { encodeKey } from '../../../daemon/wireguard/keys.ts';
import { publicKeyOf } from '../../../daemon/wireguard/primitives.ts';
import { Host, World } from './simulation.ts';

const test = suite('device');

const ALICE = '192.0.2.1:51820';
const BOB = '[2001:db8::2]:51820';
const aliceKey = new Uint8Array(32).fill(0x41);
const bobKey = new Uint8Array(32).fill(0x42);

function configuration(
  privateKey: Uint8Array,
  remote: Uint8Array,
  peer: Partial<PeerConfiguration> = {},
): DeviceConfiguration {
  const publicKey = encodeKey(publicKeyOf(remote));
  return {
    privateKey,
    port: 51820,
    fwmark: 0,
    peers: [{ publicKey, persistentKeepaliveSeconds: 0, mtu: 0, ...peer }],
    routes: [{ prefix: '10.0.0.0/8', targets: [publicKey] }],
  };
}

/** Two hosts that know each other's key; only Alice knows Bob's endpoint. */
function pair(
  seed: number,
  options: { alice?: Partial<PeerConfiguration>; bob?: Partial<PeerConfiguration> } = {},
) {
  const world = new World(seed);
  const alice = new Host(world, ALICE);
  const bob = new Host(world, BOB);
  alice.configure(configuration(aliceKey, bobKey, { endpoint: BOB, ...options.alice }));
  bob.configure(configuration(bobKey, aliceKey, options.bob));
  return { world, alice, bob };
}

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes).replaceAll('\0', '');
const kinds = (world: World, from: string) =>
  world.captured.filter((message) => message.from === from).map((message) => message.bytes[0]);
const count = (world: World, kind: number) =>
  world.captured.filter((message) => message.bytes[0] === kind).length;

test('the first packet triggers a handshake that both sides report, and arrives', () => {
  const { world, alice, bob } = pair(1);
  alice.send(0, 'hello');
  world.run(100);
  assert.is(text(bob.received[0]), 'hello');
  assert.is(bob.endpointOf(0), ALICE);
  assert.equal(kinds(world, ALICE), [MESSAGE_INITIATION, MESSAGE_TRANSPORT]);
  assert.equal(kinds(world, BOB), [MESSAGE_RESPONSE]);
  for (const host of [alice, bob]) {
    const [peer] = host.device.peers;
    assert.ok(peer && peer.latestHandshake > 1_700_000_000_000);
    assert.ok(host.device.hasSession(peer, world.moment));
  }
  bob.send(0, 'back');
  world.run(100);
  assert.is(text(alice.received[0]), 'back');
});

test('a pre-shared key must be set on both sides for a session', () => {
  const presharedKey = new Uint8Array(32).fill(7);
  const one = pair(2, { alice: { presharedKey } });
  one.alice.send(0, 'hello');
  one.world.run(20_000);
  assert.is(one.bob.received.length, 0);
  assert.is(one.alice.sessionOf(0), null);

  const both = pair(3, { alice: { presharedKey }, bob: { presharedKey } });
  both.alice.send(0, 'hello');
  both.world.run(100);
  assert.is(text(both.bob.received[0]), 'hello');
});

test('simultaneous handshakes give a session without a retry', () => {
  const { world, alice, bob } = pair(4, { bob: { endpoint: ALICE } });
  alice.send(0, 'from alice');
  bob.send(0, 'from bob');
  world.run(200);
  assert.is(text(bob.received[0]), 'from alice');
  assert.is(text(alice.received[0]), 'from bob');
  for (let round = 0; round < 5; round++) {
    alice.send(0, `a${round}`);
    bob.send(0, `b${round}`);
    world.run(100);
  }
  assert.is(text(bob.received.at(-1)), 'a4');
  assert.is(text(alice.received.at(-1)), 'b4');
});

test('a sending initiator rekeys after 120 s, and loses no packet in an hour', () => {
  const { world, alice, bob } = pair(5);
  for (let second = 0; second < 3_600; second++) {
    alice.send(0, `${second}`);
    bob.send(0, `${second}`);
    world.run(1_000);
  }
  assert.is(bob.received.length, 3_600);
  // Bob has no session in the first 20 ms; he sends staged packets once there is one.
  assert.is(alice.received.length, 3_600);
  const initiations = world.captured.filter((message) => message.bytes[0] === MESSAGE_INITIATION);
  assert.ok(
    initiations.length >= 29 && initiations.length <= 31,
    `${initiations.length} handshakes in an hour`,
  );
  assert.ok(
    initiations.every((message) => message.from === ALICE),
    'the responder of a session never renews it',
  );
  const gaps = initiations.slice(1).map((message, index) => message.at - (initiations[index]?.at ?? 0));
  assert.ok(Math.min(...gaps) >= 120_000, `shortest gap ${Math.min(...gaps)}`);
  assert.ok(Math.max(...gaps) <= 122_000, `longest gap ${Math.max(...gaps)}`);
});

test('a receiving initiator rekeys before its session expires', () => {
  const { world, alice, bob } = pair(6);
  alice.send(0, 'open');
  world.run(1_000);
  for (let second = 0; second < 400; second++) {
    bob.send(0, `${second}`);
    world.run(1_000);
  }
  assert.is(alice.received.length, 400);
});

test('with loss, duplication and reordering all repeated packets arrive', () => {
  const { world, alice, bob } = pair(7);
  world.wire = { loss: 0.2, duplicate: 0.2, late: 0.3 };
  const got = new Set<string>();
  for (let round = 0; round < 600; round++) {
    alice.send(0, `${round % 20}:${round}`);
    world.run(1_000);
  }
  for (const packet of bob.received) got.add(text(packet).split(':')[0] ?? '');
  assert.is(got.size, 20);
  const unique = new Set(bob.received.map((packet) => text(packet)));
  assert.is(unique.size, bob.received.length, 'nothing is delivered twice');
  assert.ok(unique.size > 400, `${unique.size} of 600 at 20 % loss`);
});

test('an unanswered handshake is retried every 5 s plus up to 334 ms, for 90 s', () => {
  const { world, alice } = pair(8);
  world.hosts.delete(BOB);
  alice.send(0, 'anyone?');
  world.run(300_000);
  const times = world.captured.map((message) => message.at);
  assert.ok(times.length >= 17 && times.length <= 19, `${times.length} attempts`);
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  assert.ok(
    gaps.every((gap) => gap >= 5_000 && gap < 5_334),
    gaps.join(),
  );
  assert.ok(new Set(gaps).size > 5, 'jitter varies');
  assert.ok((times.at(-1) ?? 0) - (times[0] ?? 0) <= 90_000);
  assert.is(count(world, MESSAGE_INITIATION), times.length);
  const indices = world.captured.map((message) => Buffer.from(message.bytes).readUInt32LE(4));
  assert.is(new Set(indices).size, indices.length, 'each attempt has an index of its own');
  // The next packet starts a new handshake.
  alice.send(0, 'again?');
  world.run(1_000);
  assert.is(count(world, MESSAGE_INITIATION), times.length + 1);
});

test('after receiving data, one keepalive is sent within 10 s, and none when idle', () => {
  const { world, alice, bob } = pair(9);
  alice.send(0, 'hello');
  world.run(5_000);
  const before = world.captured.length;
  bob.send(0, 'once');
  const sentAt = world.now;
  world.run(60_000);
  const after = world.captured.slice(before + 1);
  assert.is(after.length, 1);
  assert.is(after[0]?.from, ALICE);
  assert.is(after[0]?.bytes.length, 32);
  const delay = (after[0]?.at ?? 0) - sentAt;
  assert.ok(delay >= 10_000 && delay <= 10_600, `${delay} ms`);
});

test('a peer that does not answer data for 15 s gets a new handshake', () => {
  const { world, alice, bob } = pair(10);
  alice.send(0, 'hello');
  world.run(5_000);
  bob.restart(configuration(bobKey, aliceKey));
  const before = world.captured.length;
  alice.send(0, 'lost: the other side has forgotten the session');
  const sentAt = world.now;
  world.run(17_000);
  const initiation = world.captured.slice(before).find((message) => message.bytes[0] === MESSAGE_INITIATION);
  const delay = (initiation?.at ?? 0) - sentAt;
  assert.ok(delay >= 15_000 && delay <= 16_000, `${delay} ms`);
  alice.send(0, 'works again');
  world.run(1_000);
  assert.is(text(bob.received.at(-1)), 'works again');
});

test('the new session of a restarted initiator is used at once', () => {
  const { world, alice, bob } = pair(11);
  alice.send(0, 'before');
  world.run(5_000);
  alice.restart(configuration(aliceKey, bobKey, { endpoint: BOB }));
  alice.send(0, 'after');
  world.run(1_000);
  assert.is(text(bob.received.at(-1)), 'after');
  bob.send(0, 'answer');
  world.run(1_000);
  assert.is(text(alice.received.at(-1)), 'answer');
});

test('a persistent keepalive is sent at once and after each silent interval, but not during traffic', () => {
  const { world, alice } = pair(12, { alice: { persistentKeepaliveSeconds: 25 } });
  world.run(1_000);
  assert.is(count(world, MESSAGE_INITIATION), 1, 'turning it on opens the session');
  world.run(99_000);
  const keepalives = world.captured.filter((m) => m.from === ALICE && m.bytes[0] === MESSAGE_TRANSPORT);
  assert.is(keepalives.length, 4, 'confirmation, then 25, 50, 75 s');
  for (let second = 0; second < 60; second++) {
    alice.send(0, 'busy');
    world.run(1_000);
  }
  const sent = world.captured.filter((message) => message.from === ALICE && message.bytes.length === 32);
  assert.ok(sent.length <= 5, 'no empty packets beside traffic');
});

test('keys are erased 540 s after the last handshake', () => {
  const { world, alice, bob } = pair(13);
  alice.send(0, 'hello');
  world.run(539_000);
  assert.ok(alice.sessionOf(0) !== null && bob.sessionOf(0) !== null);
  world.run(2_000);
  assert.is(alice.sessionOf(0), null);
  assert.is(bob.sessionOf(0), null);
  assert.is(alice.nextTimeout(), null, 'an idle device sleeps');
});

test('only authentic packets cause roaming', () => {
  const { world, alice, bob } = pair(14);
  alice.send(0, 'hello');
  world.run(1_000);
  alice.move('198.51.100.9:4000');
  alice.send(0, 'from elsewhere');
  world.run(100);
  assert.is(bob.endpointOf(0), '198.51.100.9:4000');
  bob.send(0, 'found you');
  world.run(100);
  assert.is(text(alice.received.at(-1)), 'found you');

  const data = world.captured.find(
    (message) => message.bytes[0] === MESSAGE_TRANSPORT && message.bytes.length > 32,
  );
  const initiation = world.captured.find((message) => message.bytes[0] === MESSAGE_INITIATION);
  assert.ok(data && initiation);
  for (const replayed of [data, initiation]) {
    bob.receive(replayed.bytes, '203.0.113.66:666', BOB);
    const forged = Uint8Array.from(replayed.bytes);
    forged[40] = (forged[40] ?? 0) ^ 1;
    bob.receive(forged, '203.0.113.66:666', BOB);
  }
  world.run(100);
  assert.is(bob.endpointOf(0), '198.51.100.9:4000');
});

test('peers that move simultaneously find each other again by their configured endpoints', () => {
  const [newAlice, newBob] = ['192.0.2.71:51820', '[2001:db8::72]:51820'];
  for (const returnsToConfigured of [true, false]) {
    const { world, alice, bob } = pair(31, { bob: { endpoint: ALICE } });
    alice.send(0, 'hello');
    world.run(1_000);
    alice.send(0, 'on its way');
    bob.send(0, 'on its way');
    alice.configure(configuration(aliceKey, bobKey, { endpoint: newBob, returnsToConfigured }));
    bob.configure(configuration(bobKey, aliceKey, { endpoint: newAlice, returnsToConfigured }));
    // Packets in flight lead both back to the former addresses, where no host answers.
    world.run(100);
    assert.is(bob.endpointOf(0), ALICE);
    assert.is(alice.endpointOf(0), BOB);
    alice.move(newAlice);
    bob.move(newBob);
    alice.send(0, 'lost');
    bob.send(0, 'lost');
    world.run(30_000);
    alice.send(0, 'found again');
    world.run(1_000);
    assert.is(text(bob.received.at(-1)) === 'found again', returnsToConfigured);
  }
});

test('messages with a wrong mac1, replayed, forged or malformed ones, and those of strangers get no answer', () => {
  const { world, alice, bob } = pair(15);
  alice.send(0, 'hello');
  world.run(1_000);
  const initiation = world.captured.find((message) => message.bytes[0] === MESSAGE_INITIATION)?.bytes;
  assert.ok(initiation);
  const mallory = '203.0.113.66:666';
  const before = world.captured.length;
  bob.receive(initiation, mallory, BOB);
  assert.is(bob.device.counters.replayed, 1);
  for (let position = 0; position < INITIATION_LENGTH - 16; position++) {
    const forged = Uint8Array.from(initiation);
    forged[position] = (forged[position] ?? 0) ^ 0x80;
    if (forged[0] === MESSAGE_TRANSPORT) continue;
    bob.receive(forged, mallory, BOB);
  }
  for (const length of [0, 1, 3, 4, 63, 64, 91, 92, 147, 149, 1500])
    for (const kind of [0, 1, 2, 3, 5, 255]) {
      const junk = new Uint8Array(length);
      if (length > 0) junk[0] = kind;
      bob.receive(junk, mallory, BOB);
    }
  const stranger = new Host(world, '203.0.113.7:51820');
  stranger.configure(configuration(new Uint8Array(32).fill(0x53), bobKey, { endpoint: BOB }));
  stranger.send(0, 'let me in');
  world.run(1_000);
  assert.is(bob.device.counters.unknownPeer, 1);
  assert.is(world.captured.filter((message) => message.from === BOB).length, 1, 'only the first response');
  assert.is(world.captured.length, before + 1, "and the stranger's initiation");
});

test('a valid initiation with a wrong mac1 gets no answer', () => {
  const { world, alice, bob } = pair(22);
  alice.send(0, 'hello');
  const [initiation] = world.captured;
  assert.ok(initiation);
  const spoilt = Uint8Array.from(initiation.bytes);
  spoilt[120] = (spoilt[120] ?? 0) ^ 1;
  bob.receive(spoilt, ALICE, BOB);
  assert.is(bob.device.counters.wrongMac1, 1);
  assert.is(world.captured.length, 1);
});

test('a repeated response creates only one session, so that keys are never reused', () => {
  const { world, alice } = pair(23);
  alice.send(0, 'hello');
  world.run(1_000);
  const response = world.captured.find((message) => message.bytes[0] === MESSAGE_RESPONSE);
  assert.ok(response);
  const keypairs = () => alice.effects.filter((effect) => effect.type === 'add-keypair').length;
  assert.is(keypairs(), 1);
  for (let again = 0; again < 3; again++) alice.receive(response.bytes, BOB, ALICE);
  assert.is(keypairs(), 1);
  assert.is(alice.device.counters.unknownIndex, 3);
});

test('indices of ended sessions and attempts are freed', () => {
  const { world, alice, bob } = pair(24, { alice: { persistentKeepaliveSeconds: 10 } });
  world.run(3_600_000);
  for (const host of [alice, bob]) assert.ok(host.device.indicesInUse <= 3, `${host.device.indicesInUse}`);
  world.hosts.delete(BOB);
  world.run(3_600_000);
  assert.ok(alice.device.indicesInUse <= 1, `${alice.device.indicesInUse}`);
  alice.configure({ ...configuration(aliceKey, bobKey), peers: [], routes: [] });
  assert.is(alice.device.indicesInUse, 0);
});

test('at most twenty initiations per second of one peer are answered', () => {
  const { world, alice, bob } = pair(16);
  for (let number = 0; number < 10; number++) {
    alice.restart(configuration(aliceKey, bobKey, { endpoint: BOB }));
    world.wallOffset += 1_000;
    alice.send(0, 'hello');
    world.run(10);
  }
  world.run(100);
  assert.is(count(world, MESSAGE_INITIATION), 10);
  assert.is(count(world, MESSAGE_RESPONSE), 2);
  assert.is(bob.device.counters.tooFrequent, 8);
});

test('under load a cookie is required, and the retry with it gives a session', () => {
  const { world, alice, bob } = pair(17);
  bob.backlog = 1_000;
  alice.send(0, 'hello');
  world.run(1_000);
  assert.is(count(world, MESSAGE_COOKIE_REPLY), 1);
  assert.is(count(world, MESSAGE_RESPONSE), 0);
  world.run(6_000);
  assert.is(count(world, MESSAGE_COOKIE_REPLY), 1);
  assert.is(count(world, MESSAGE_RESPONSE), 1);
  assert.is(text(bob.received[0]), 'hello');
});

test('plaintext and keys never appear on the wire', () => {
  const { world, alice, bob } = pair(18, {
    alice: { presharedKey: new Uint8Array(32).fill(9) },
    bob: { presharedKey: new Uint8Array(32).fill(9) },
  });
  const secret = 'attack at dawn, said the walrus';
  for (let round = 0; round < 300; round++) {
    alice.send(0, secret);
    bob.send(0, secret);
    world.run(1_000);
  }
  assert.ok(world.captured.length > 600);
  const forbidden = [
    Buffer.from(secret.slice(0, 8)),
    Buffer.from(aliceKey.subarray(0, 8)),
    Buffer.from(publicKeyOf(aliceKey).subarray(0, 8)),
    Buffer.from(publicKeyOf(bobKey).subarray(0, 8)),
  ];
  for (const { bytes } of world.captured) {
    for (const needle of forbidden) assert.is(Buffer.from(bytes).indexOf(needle), -1);
    if (bytes[0] === MESSAGE_TRANSPORT) assert.is(bytes.length % 16, 0, 'lengths are padded');
  }
  const ephemerals = world.captured
    .filter((message) => message.bytes[0] === MESSAGE_INITIATION)
    .map((message) => Buffer.from(message.bytes.subarray(8, 40)).toString('hex'));
  assert.is(new Set(ephemerals).size, ephemerals.length, 'no ephemeral is used twice');
});

test('a new private key ends every session, and removing a peer ends its own', () => {
  const { world, alice, bob } = pair(19);
  alice.send(0, 'hello');
  world.run(1_000);
  alice.configure({ ...configuration(new Uint8Array(32).fill(0x55), bobKey, { endpoint: BOB }) });
  assert.is(alice.sessionOf(0), null);
  bob.configure({ ...configuration(bobKey, aliceKey), peers: [], routes: [] });
  alice.configure(configuration(aliceKey, bobKey, { endpoint: BOB }));
  const before = world.captured.filter((message) => message.from === BOB).length;
  alice.send(0, 'still there?');
  world.run(10_000);
  assert.is(world.captured.filter((message) => message.from === BOB).length, before);
});

test('a wall clock that is set back does not prevent handshakes', () => {
  const { world, alice, bob } = pair(20);
  alice.send(0, 'hello');
  world.run(1_000);
  world.wallOffset -= 86_400_000;
  world.run(200_000);
  alice.send(0, 'yesterday');
  world.run(1_000);
  assert.is(text(bob.received.at(-1)), 'yesterday');
});

test('after handshakes with many peers and a restart no initiation counts as a replay', () => {
  const world = new World(25);
  const hub = new Host(world, ALICE);
  const last = new Host(world, BOB);
  const keys = Array.from({ length: 127 }, (_, number) => new Uint8Array(32).fill(100 + number));
  const all: DeviceConfiguration = {
    ...configuration(aliceKey, bobKey),
    peers: [...keys, bobKey].map((key) => ({
      publicKey: encodeKey(publicKeyOf(key)),
      persistentKeepaliveSeconds: 0,
      mtu: 0,
      endpoint: BOB,
    })),
  };
  hub.configure(all);
  last.configure(configuration(bobKey, aliceKey));
  for (let peer = 0; peer < 128; peer++) hub.send(peer, 'hello');
  world.run(100);
  hub.restart(all);
  hub.send(127, 'after');
  world.run(1_000);
  assert.is(last.device.counters.replayed, 0);
  assert.is(text(last.received.at(-1)), 'after');
  // A peer that is removed and added again has seen the former timestamps.
  for (const peers of [all.peers.slice(0, 127), all.peers]) hub.configure({ ...all, peers, routes: [] });
  hub.send(127, 'again');
  world.run(1_000);
  assert.is(last.device.counters.replayed, 0);
});

test('without a private key the device is silent and needs no timer', () => {
  const { world, alice, bob } = pair(21);
  bob.configure({ ...configuration(bobKey, aliceKey), privateKey: null });
  alice.send(0, 'hello');
  world.run(10_000);
  assert.is(world.captured.filter((message) => message.from === BOB).length, 0);
  assert.is(bob.nextTimeout(), null);
});

test.run();
