/**
 * Complete handshakes between two temporary devices in memory. At start they verify that the cryptography works on this
 * machine. More of them, while idle, warm up the JIT, so that the first real handshake isn't the slowest.
 */
import type { DeviceConfiguration } from './configuration.ts';
import { Device } from './device.ts';
import type { DeviceEffect, Moment } from './effects.ts';
import { encodeKey } from './keys.ts';
import { equal, publicKeyOf } from './primitives.ts';
import type { RandomBytes } from './primitives.ts';

const QUIET = { lastDataReceived: 0, lastDataSent: 0, lastReceived: 0, lastSent: 0 };
/** The self-test: a first handshake, and a rekey. */
const PROOF_ROUNDS = 2;
/** Number of rounds and handshakes per round, after which a handshake is about as fast as the thousandth. */
const WARM_TURNS = 50;
const WARM_ROUNDS = 4;
/** Milliseconds between two rounds. */
const WARM_PAUSE = 5;
/** Simulated milliseconds between handshakes: longer than any rate limit on initiations. */
const ROUND_INTERVAL = 10_000;

function deviceOf(privateKey: Uint8Array, remote: Uint8Array, random: RandomBytes): Device {
  const device = new Device({ random, indexTaken: () => false, observe: () => QUIET }, { maximumPeers: 1 });
  const configuration: DeviceConfiguration = {
    privateKey,
    port: 0,
    fwmark: 0,
    peers: [
      {
        publicKey: encodeKey(publicKeyOf(remote)),
        presharedKey: new Uint8Array(32).fill(1),
        endpoint: '192.0.2.1:1',
        persistentKeepaliveSeconds: 0,
        mtu: 0,
      },
    ],
    routes: [],
  };
  device.configure(configuration);
  return device;
}

function messageIn(effects: readonly DeviceEffect[]): Uint8Array {
  for (const effect of effects) if (effect.type === 'send-to-peer') return effect.bytes;
  throw new Error('the self-test of the handshake failed: a message is missing');
}

function keypairIn(effects: readonly DeviceEffect[]) {
  for (const effect of effects) if (effect.type === 'add-keypair') return effect.keypair;
  throw new Error('the self-test of the handshake failed: no session was established');
}

/** Runs handshakes in the background for about half a second, or until `ended()`. */
export function warmUp(random: RandomBytes, ended: () => boolean): void {
  let turns = 0;
  const turn = (): void => {
    if (ended()) return;
    selfTest(random, WARM_ROUNDS);
    if (++turns < WARM_TURNS) setTimeout(turn, WARM_PAUSE).unref();
  };
  setTimeout(turn, WARM_PAUSE).unref();
}

/** Throws when a handshake fails, or when the two sides derive different keys. */
export function selfTest(random: RandomBytes, rounds = PROOF_ROUNDS): void {
  const keys = [random(32), random(32)] as const;
  const initiator = deviceOf(keys[0], keys[1], random);
  const responder = deviceOf(keys[1], keys[0], random);
  const address = { source: '192.0.2.1:1', destination: '192.0.2.2', backlog: 0 };
  for (let round = 1; round <= rounds; round++) {
    const now: Moment = { monotonic: round * ROUND_INTERVAL, wall: round * ROUND_INTERVAL };
    const initiation = messageIn(initiator.handle({ type: 'handshake-wanted', peer: 0 }, now));
    const answered = responder.handle({ type: 'handshake', ...address, bytes: initiation }, now);
    const completed = initiator.handle(
      { type: 'handshake', ...address, bytes: messageIn(answered) },
      { monotonic: now.monotonic + 1, wall: now.wall + 1 },
    );
    const ours = keypairIn(completed);
    const theirs = keypairIn(answered);
    if (!equal(ours.sendKey, theirs.receiveKey) || !equal(ours.receiveKey, theirs.sendKey))
      throw new Error('the self-test of the handshake failed: the two sides have different keys');
    responder.handle({ type: 'session-confirmed', peer: 0, localIndex: theirs.localIndex }, now);
    initiator.handleTimeout(now);
    initiator.nextTimeout(now);
  }
  initiator.close();
  responder.close();
}
