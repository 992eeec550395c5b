/** The platform's X25519 through the addon: known answers, and a faulty implementation is never used. */
import { randomBytes } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { adoptX25519, diffieHellman, isZero, publicKeyOf } from '../../daemon/wireguard/primitives.ts';
import type { X25519 } from '../../daemon/wireguard/primitives.ts';
import { x25519 } from '../../native/index.js';
import { fromHex, toHex } from '../daemon/wireguard/hex.ts';
import vectors from '../daemon/wireguard/vectors/x25519.json' with { type: 'json' };

const random = (length: number): Uint8Array => Uint8Array.from(randomBytes(length));
const platform: X25519 | null = x25519;

test('this Node binary has X25519', () => {
  assert.ok(platform, 'of the OpenSSL that Node brings');
});

test('an implementation with a wrong result for one key or for a point of low order is not used', () => {
  assert.ok(platform);
  const good: X25519 = platform;
  const own = new Uint8Array(32).fill(3);
  const before = toHex(publicKeyOf(own));
  const bad: readonly X25519[] = [
    { ...good, publicKeyOf: (key) => good.publicKeyOf(key).map((byte, at) => (at === 31 ? byte ^ 1 : byte)) },
    { ...good, multiply: (left, right) => good.multiply(left, right)?.toReversed() ?? null },
    { ...good, multiply: (left, right) => good.multiply(left, right) ?? new Uint8Array(32) },
  ];
  for (const candidate of [...bad, null]) assert.not.ok(adoptX25519(candidate, random));
  assert.is(toHex(publicKeyOf(own)), before);
  assert.ok(adoptX25519(good, random));
  assert.is(toHex(publicKeyOf(own)), before);
});

test('Wycheproof, with the zero result refused', () => {
  assert.ok(platform && adoptX25519(platform, random));
  for (const vector of vectors.vectors) {
    const shared = diffieHellman(fromHex(vector.private), fromHex(vector.public));
    const expected = isZero(fromHex(vector.shared)) ? null : vector.shared;
    assert.is(shared === null ? null : toHex(shared), expected, `case ${vector.id}`);
  }
  assert.ok(
    vectors.vectors.some(({ shared }) => isZero(fromHex(shared))),
    'points of low order are among them',
  );
  assert.throws(() => platform.multiply(new Uint8Array(31), new Uint8Array(32)), /private key.*32 bytes/);
});

test.run();
