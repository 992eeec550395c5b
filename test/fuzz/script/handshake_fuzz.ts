/**
 * Handshake messages at a device: a changed genuine message, or random bytes. No input may throw; a session, an endpoint or an
 * answer appears exactly when the message is authentic, which is known here because the changes are. The first byte of an input
 * selects the message, the second one its preparation; then follow pairs of position and change.
 */
import * as assert from 'node:assert/strict';

import { CookieGenerator } from '../../../daemon/wireguard/cookie.ts';
import { Device } from '../../../daemon/wireguard/device.ts';
import type { DeviceEffect } from '../../../daemon/wireguard/effects.ts';
import { encodeKey } from '../../../daemon/wireguard/keys.ts';
import { publicKeyOf } from '../../../daemon/wireguard/primitives.ts';
import { generator, randomBytesOf } from '../../daemon/wireguard/simulation.ts';
import type { Harness } from './harness.ts';

const QUIET = { lastDataReceived: 0, lastDataSent: 0, lastReceived: 0, lastSent: 0 };
const NOW = { monotonic: 1_000_000, wall: 1_700_000_000_000 };
const FROM = { source: '203.0.113.9:9', destination: '192.0.2.1' };
const MACS = 32;
const LENGTHS: Readonly<Record<number, number>> = { 1: 148, 2: 92, 3: 64 };
/** Above the threshold at which a device requires cookies. */
const FLOOD = 1_000;

const keys = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const;
const publicKeys = keys.map((key) => publicKeyOf(key));

function deviceOf(own: 0 | 1, random: (length: number) => Uint8Array): Device {
  const device = new Device({ random, indexTaken: () => false, observe: () => QUIET }, { maximumPeers: 1 });
  const publicKey = encodeKey(publicKeys[1 - own] ?? new Uint8Array(32));
  device.configure({
    privateKey: keys[own],
    port: 0,
    fwmark: 0,
    peers: [{ publicKey, endpoint: '192.0.2.9:1', persistentKeepaliveSeconds: 0, mtu: 0 }],
    routes: [],
  });
  return device;
}

function sentIn(effects: readonly DeviceEffect[]): Uint8Array {
  for (const effect of effects)
    if (effect.type === 'send-to-peer' || effect.type === 'send-to') return effect.bytes;
  throw new Error('no message was sent');
}

interface Scene {
  /** The receiving device. */
  device: Device;
  receiver: 0 | 1;
  genuine: Uint8Array;
  /** The message's bytes, between the header and the MACs, that only mac1 protects. */
  open: readonly [from: number, to: number];
}

/** Devices just before a message of a kind arrives: 1 initiation, 2 response, 3 cookie reply. */
function sceneOf(kind: number): Scene {
  const random = randomBytesOf(generator(5));
  const [left, right] = [deviceOf(0, random), deviceOf(1, random)];
  const initiation = sentIn(left.handle({ type: 'handshake-wanted', peer: 0 }, NOW));
  if (kind === 1) return { device: right, receiver: 1, genuine: initiation, open: [4, 8] };
  const backlog = kind === 3 ? FLOOD : 0;
  const answer = sentIn(right.handle({ type: 'handshake', ...FROM, bytes: initiation, backlog }, NOW));
  return { device: left, receiver: 0, genuine: answer, open: kind === 2 ? [4, 8] : [0, 0] };
}

function changed(genuine: Uint8Array, changes: Uint8Array): Uint8Array {
  const bytes = [...genuine];
  for (let at = 0; at + 1 < changes.length; at += 2) {
    const [position = 0, value = 0] = changes.subarray(at, at + 2);
    if (position >= 250) bytes.length = Math.min(bytes.length, value);
    else if (position >= 240) bytes.splice(bytes.length - MACS, 0, value);
    else if (position < bytes.length) bytes[position] = (bytes[position] ?? 0) ^ value;
  }
  return Uint8Array.from(bytes);
}

function same(left: Uint8Array, right: Uint8Array, from: number, to: number): boolean {
  return Buffer.compare(left.subarray(from, to), right.subarray(from, to)) === 0;
}

function run(input: Uint8Array): void {
  const [kindByte = 0, mode = 0] = input;
  const kind = kindByte % 4;
  const { device, receiver, genuine, open } = sceneOf(kind === 0 ? 1 : kind);
  const bytes = kind === 0 ? Uint8Array.from(input.subarray(2)) : changed(genuine, input.subarray(2));
  const remade = (mode & 1) !== 0 && bytes.length >= MACS && kind !== 3;
  if (remade) new CookieGenerator(publicKeys[receiver] ?? new Uint8Array(32)).addMacs(bytes, 0);
  const flood = (mode & 2) !== 0;

  const before = { ...device.counters };
  const effects = device.handle(
    { type: 'handshake', ...FROM, bytes, backlog: flood ? FLOOD : 0 },
    { monotonic: NOW.monotonic + 100, wall: NOW.wall + 100 },
  );
  const refusals = Object.entries(device.counters).filter(
    ([name, count]) => name !== 'cookiesSent' && count !== before[name as keyof typeof before],
  );
  const types = effects.map(({ type }) => type).filter((type) => type !== 'set-cookie-secret');

  const type = bytes[0] ?? 0;
  const framed =
    bytes.length === LENGTHS[type] && bytes[1] === 0 && bytes[2] === 0 && bytes[3] === 0 && type !== 0;
  if (type === 3 || !framed) {
    assert.deepEqual(types, [], 'a cookie, or an invalid message, is never answered');
    const exact = kind === 3 && framed && same(bytes, genuine, 0, genuine.length);
    assert.equal(
      refusals.length,
      exact ? 0 : 1,
      'it is counted, unless it is the cookie that was waited for',
    );
    return;
  }
  const macs = bytes.length - MACS;
  const marked = remade || (kind !== 0 && same(bytes, genuine, 0, macs + 16));
  if (!marked) {
    assert.deepEqual(types, [], 'a wrong mac1 meets silence');
    assert.equal(refusals.length, 1);
  } else if (flood) {
    assert.deepEqual(types, ['send-to'], 'under load a cookie is asked for, and nothing else done');
    assert.equal(sentIn(effects).length, 64);
  } else {
    const authentic =
      kind !== 0 &&
      bytes.length === genuine.length &&
      same(bytes, genuine, 0, open[0]) &&
      same(bytes, genuine, open[1], macs);
    assert.equal(types.includes('add-keypair'), authentic, 'a session comes of an authentic message alone');
    assert.equal(types.includes('set-endpoint'), authentic, 'and so does an endpoint');
    if (!authentic) assert.deepEqual(types, [], 'what is forged meets silence');
  }
}

const seed = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

export const harness: Harness = {
  batch: 128,
  seeds: [
    ...[1, 2, 3].flatMap((kind) => [0, 1, 2, 3].map((mode) => seed(kind, mode))),
    seed(1, 1, 5, 1),
    seed(1, 0, 20, 1),
    seed(2, 1, 9, 1),
    seed(3, 0, 40, 1),
    Uint8Array.from([0, 1, 1, 0, 0, 0, ...new Uint8Array(144)]),
    Uint8Array.from([0, 1, 2, 0, 0, 0, ...new Uint8Array(88)]),
    Uint8Array.from([0, 0, 3, 0, 0, 0, ...new Uint8Array(60)]),
  ],
  tokens: [seed(0, 1), seed(4, 1), seed(8, 1), seed(251, 91), seed(120, 1), seed(1, 0, 0, 0)],
  run,
};
