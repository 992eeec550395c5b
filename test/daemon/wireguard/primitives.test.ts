import { blake2s } from '@noble/hashes/blake2.js';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import {
  clamped,
  concatenate,
  diffieHellman,
  hash,
  isZero,
  kdf,
  mac,
  open,
  openCookie,
  publicKeyOf,
  seal,
  sealCookie,
} from '../../../daemon/wireguard/primitives.ts';
import { fromHex, toHex } from './hex.ts';
import aead from './vectors/chacha20-poly1305.json' with { type: 'json' };
import x25519 from './vectors/x25519.json' with { type: 'json' };

const test = suite('primitives');

test('AEAD: RFC 8439, section 2.8.2', () => {
  const key = fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f');
  const nonce = fromHex('070000004041424344454647');
  const associated = fromHex('50515253c0c1c2c3c4c5c6c7');
  const text =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
  const sealed = seal(key, new TextEncoder().encode(text), associated, nonce);
  assert.is(
    toHex(sealed),
    'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6' +
      '3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36' +
      '92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc' +
      '3ff4def08e4b7a9de576d26586cec64b6116' +
      '1ae10b594f09e26a7e902ecbd0600691',
  );
  assert.is(new TextDecoder().decode(open(key, sealed, associated, nonce) ?? undefined), text);
});

test('AEAD: Wycheproof', () => {
  let valid = 0;
  for (const vector of aead.vectors) {
    const sealed = fromHex(vector.ciphertext + vector.tag);
    const opened = open(fromHex(vector.key), sealed, fromHex(vector.associated), fromHex(vector.nonce));
    if (!vector.valid) {
      assert.is(opened, null, `case ${vector.id} must be refused`);
      continue;
    }
    valid++;
    assert.is(opened === null ? null : toHex(opened), vector.plaintext, `case ${vector.id}`);
    const again = seal(
      fromHex(vector.key),
      fromHex(vector.plaintext),
      fromHex(vector.associated),
      fromHex(vector.nonce),
    );
    assert.is(toHex(again), vector.ciphertext + vector.tag, `case ${vector.id}`);
  }
  assert.ok(valid > 100, 'vectors are there');
});

test('AEAD: input shorter than a tag is refused', () => {
  assert.is(open(new Uint8Array(32), new Uint8Array(15), new Uint8Array(0)), null);
  assert.is(open(new Uint8Array(32), new Uint8Array(0), new Uint8Array(0)), null);
});

test('X25519: RFC 7748, sections 5.2 and 6.1', () => {
  assert.is(
    toHex(
      diffieHellman(
        fromHex('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4'),
        fromHex('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c'),
      ) ?? new Uint8Array(0),
    ),
    'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
  );
  let scalar = fromHex('0900000000000000000000000000000000000000000000000000000000000000');
  let point = scalar;
  for (let round = 0; round < 1000; round++) {
    const result = diffieHellman(scalar, point);
    assert.ok(result !== null);
    point = scalar;
    scalar = result;
    if (round === 0)
      assert.is(toHex(scalar), '422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079');
  }
  assert.is(toHex(scalar), '684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51');

  const alice = fromHex('77076d0a7318a57d3c16c17251b26645df4c3a7a6f8b1e0d9f2d1e4a5b4b2a2a');
  const bob = fromHex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');
  assert.is(toHex(publicKeyOf(bob)), 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
  assert.equal(diffieHellman(alice, publicKeyOf(bob)), diffieHellman(bob, publicKeyOf(alice)));
});

test('X25519: Wycheproof, with the zero result refused', () => {
  for (const vector of x25519.vectors) {
    const shared = diffieHellman(fromHex(vector.private), fromHex(vector.public));
    const expected = isZero(fromHex(vector.shared)) ? null : vector.shared;
    assert.is(shared === null ? null : toHex(shared), expected, `case ${vector.id}`);
  }
  assert.ok(x25519.vectors.length > 100, 'vectors are there');
});

test('X25519: wrong lengths are refused, clamping is idempotent', () => {
  assert.is(diffieHellman(new Uint8Array(31), new Uint8Array(32).fill(9)), null);
  assert.is(diffieHellman(new Uint8Array(32), new Uint8Array(33)), null);
  const key = clamped(new Uint8Array(32).fill(0xff));
  assert.equal(clamped(key), key);
  assert.is(key[0], 0xf8);
  assert.is(key[31], 0x7f);
});

test('BLAKE2s: RFC 7693, appendix B', () => {
  const abc = new TextEncoder().encode('abc');
  assert.is(toHex(hash(abc)), '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982');
  assert.equal(hash(abc.subarray(0, 1), abc.subarray(1)), hash(abc), 'parts are concatenated');
});

test('BLAKE2s: the self-test of RFC 7693, appendix E, with and without a key', () => {
  const sequence = (length: number, seed: number) => {
    const bytes = new Uint8Array(length);
    let a = Math.imul(0xdead4bad, seed) >>> 0;
    let b = 1;
    for (let index = 0; index < length; index++) {
      const next = (a + b) >>> 0;
      a = b;
      b = next;
      bytes[index] = next >>> 24;
    }
    return bytes;
  };
  const digests: Uint8Array[] = [];
  for (const dkLen of [16, 20, 28, 32])
    for (const length of [0, 3, 64, 65, 255, 1024]) {
      const data = sequence(length, length);
      const key = sequence(dkLen, dkLen);
      digests.push(blake2s(data, { dkLen }), blake2s(data, { key, dkLen }));
      if (dkLen === 16) assert.equal(mac(key, data), digests.at(-1));
    }
  assert.is(toHex(hash(...digests)), '6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe');
});

test('KDF: equals HKDF (RFC 5869) computed step by step', () => {
  const chaining = new Uint8Array(32).fill(1);
  const input = new Uint8Array(32).fill(2);
  const [one] = kdf(1, chaining, input);
  const [oneOfTwo, two] = kdf(2, chaining, input);
  const [oneOfThree, twoOfThree, three] = kdf(3, chaining, input);
  assert.equal(one, oneOfTwo);
  assert.equal(one, oneOfThree);
  assert.equal(two, twoOfThree);
  assert.not.equal(two, three);

  // HMAC (RFC 2104) over BLAKE2s with its block of 64 bytes, computed step by step.
  const hmacByHand = (key: Uint8Array, message: Uint8Array) => {
    const block = new Uint8Array(64);
    block.set(key);
    const inner = block.map((byte) => byte ^ 0x36);
    const outer = block.map((byte) => byte ^ 0x5c);
    return hash(outer, hash(inner, message));
  };
  const secret = hmacByHand(chaining, input);
  const first = hmacByHand(secret, Uint8Array.of(1));
  const second = hmacByHand(secret, concatenate(first, Uint8Array.of(2)));
  const third = hmacByHand(secret, concatenate(second, Uint8Array.of(3)));
  assert.equal([first, second, third], [oneOfThree, twoOfThree, three] as Uint8Array[]);
});

test('cookie encryption round-trips, and fails with another nonce, key or associated data', () => {
  const key = new Uint8Array(32).fill(3);
  const nonce = new Uint8Array(24).fill(4);
  const cookie = new Uint8Array(16).fill(5);
  const associated = new Uint8Array(16).fill(6);
  const sealed = sealCookie(key, nonce, cookie, associated);
  assert.is(sealed.length, 32);
  assert.equal(openCookie(key, nonce, sealed, associated), cookie);
  assert.is(openCookie(key, new Uint8Array(24), sealed, associated), null);
  assert.is(openCookie(new Uint8Array(32), nonce, sealed, associated), null);
  assert.is(openCookie(key, nonce, sealed, cookie), null);
});

test.run();
