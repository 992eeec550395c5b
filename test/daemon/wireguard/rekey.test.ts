/**
 * Long runs with traffic in both directions, which both ends start within the first second: the tunnel delivers everything that
 * the wire carries, through each rekey. A packet that cannot be decrypted here would be lost every two minutes in a real
 * tunnel.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import type { DeviceConfiguration, PeerConfiguration } from '../../../daemon/wireguard/configuration.ts';
import { MESSAGE_INITIATION, MESSAGE_TRANSPORT } from '../../../daemon/wireguard/constants-of-protocol.ts';
import { encodeKey } from '../../../daemon/wireguard/keys.ts';
import { publicKeyOf } from '../../../daemon/wireguard/primitives.ts';
import { Host, World } from './simulation.ts';
import type { Wire } from './simulation.ts';

const test = suite('rekey');

const ALICE = '192.0.2.1:51820';
const BOB = '[2001:db8::2]:51820';
const aliceKey = new Uint8Array(32).fill(0x41);
const bobKey = new Uint8Array(32).fill(0x42);
/** Six rekeys of 120 s each, with time before and after them. */
const SIX_REKEYS = 6 * 120_000 + 30_000;

function configuration(
  privateKey: Uint8Array,
  remote: Uint8Array,
  peer: Partial<PeerConfiguration>,
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

/** Two hosts that know each other's endpoint, like two clusters. */
function pair(seed: number, wire: Wire) {
  const world = new World(seed);
  world.wire = wire;
  const [alice, bob] = [new Host(world, ALICE), new Host(world, BOB)];
  alice.configure(configuration(aliceKey, bobKey, { endpoint: BOB }));
  bob.configure(configuration(bobKey, aliceKey, { endpoint: ALICE }));
  return { world, alice, bob };
}

/** Both send one packet per millisecond during a handshake, and rarely otherwise. Returns how many each sent. */
function talk(
  { world, alice, bob }: ReturnType<typeof pair>,
  milliseconds: number,
  options: { bobLater?: number; each?: (elapsed: number) => void } = {},
): number {
  const start = world.now;
  let [sent, looked, lastHandshake] = [0, 0, world.now];
  while (world.now - start < milliseconds) {
    options.each?.(world.now - start);
    alice.send(0, `a${sent}`);
    if (options.bobLater) world.run(options.bobLater);
    bob.send(0, `b${sent}`);
    sent++;
    for (; looked < world.captured.length; looked++)
      if (world.captured[looked]?.bytes[0] !== MESSAGE_TRANSPORT)
        lastHandshake = world.captured[looked]?.at ?? 0;
    world.run(world.now - lastHandshake < 500 ? 1 : 97);
  }
  world.run(2_000);
  return sent;
}

const initiations = (world: World): number =>
  world.captured.filter(({ bytes }) => bytes[0] === MESSAGE_INITIATION).length;

for (const bobLater of [0, 3, 11, 19])
  test(`with a round trip of 20 ms and an offset of ${bobLater} ms none of six rekeys loses a packet`, () => {
    const scene = pair(40 + bobLater, { loss: 0, duplicate: 0, late: 0 });
    const sent = talk(scene, SIX_REKEYS, { bobLater });
    assert.ok(sent > 6_000, `${sent} packets`);
    assert.equal([scene.alice.refused, scene.bob.refused], [0, 0]);
    assert.equal([scene.bob.received.length, scene.alice.received.length], [sent, sent]);
    // After simultaneous handshakes only one of them keeps rekeying for both.
    const handshakes = initiations(scene.world);
    assert.ok(handshakes >= 7 && handshakes <= 9, `${handshakes} initiations for seven sessions`);
  });

for (const seed of [51, 52, 53])
  test(`with 40 ms, 5 % loss and reordering (seed ${seed}) every packet that the wire carries is delivered`, () => {
    const scene = pair(seed, { loss: 0.05, duplicate: 0.02, late: 0.1, delay: 20 });
    const sent = talk(scene, SIX_REKEYS);
    assert.equal([scene.alice.refused, scene.bob.refused], [0, 0]);
    for (const host of [scene.alice, scene.bob])
      assert.ok(host.received.length > sent * 0.93, `${host.received.length} of ${sent}`);
  });

for (const seed of [61, 62])
  test(`with rekeys, roaming and configuration changes under traffic (seed ${seed}) no packet is lost`, () => {
    const scene = pair(seed, { loss: 0, duplicate: 0, late: 0.1, delay: 20 });
    const { world, alice, bob } = scene;
    let [swaps, moves] = [0, 0];
    const swap = (number: number): void => {
      const presharedKey = new Uint8Array(32).fill(number);
      const mtu = 1_300 + (number % 3) * 60;
      const persistentKeepaliveSeconds = (number % 2) * 25;
      const more = { presharedKey, mtu, persistentKeepaliveSeconds };
      alice.configure(configuration(aliceKey, bobKey, { endpoint: BOB, ...more }));
      // The other side a little later, as with two controllers.
      world.at(world.now + 40, () =>
        bob.configure(configuration(bobKey, aliceKey, { endpoint: ALICE, ...more })),
      );
    };
    const sent = talk(scene, SIX_REKEYS, {
      each: (elapsed) => {
        if (elapsed >= (swaps + 1) * 47_000) swap(++swaps);
        if (elapsed >= (moves + 1) * 31_000)
          (++moves % 2 === 0 ? alice : bob).move(`198.51.100.${moves}:4000`, { keepOld: true });
      },
    });
    assert.ok(swaps >= 15 && moves >= 20);
    assert.equal([alice.refused, bob.refused], [0, 0]);
    assert.equal([bob.received.length, alice.received.length], [sent, sent]);
  });

test.run();
