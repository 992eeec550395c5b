/** The platform's and the JavaScript implementation agree: with external test vectors, and with each other. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  curve25519,
  platformCurve25519,
  portable,
  x25519Public,
  x25519Secret,
} from '../../../shared/trust/curve25519.ts';
import { fromHex, toHex } from '../../../shared/trust/encoding.ts';
import x25519 from '../../daemon/wireguard/vectors/x25519.json' with { type: 'json' };

const platform = platformCurve25519();
const both = Object.entries({ portable, platform: platform! });

test('the platform’s implementation is used', () => {
  assert.is.not(platform, undefined);
  assert.is.not(curve25519, portable);
});

for (const [name, curve] of both) {
  test(`${name}: signatures equal RFC 8032, section 7.1, test 3`, () => {
    const seed = fromHex('c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7');
    const publicKey = fromHex('fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025');
    const message = fromHex('af82');
    const signature =
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac' +
      '18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a';
    assert.equal(curve.publicKeyOf(seed), publicKey);
    assert.is(toHex(curve.sign(message, seed)), signature);
    assert.ok(curve.verify(fromHex(signature), message, publicKey));
    assert.not(curve.verify(fromHex(signature), fromHex('af83'), publicKey));
  });

  test(`${name}: a signature with an unreduced scalar is refused (RFC 8032, section 5.1.7)`, () => {
    const seed = new Uint8Array(32).fill(9);
    const message = Uint8Array.of(1);
    const signature = curve.sign(message, seed);
    const order = 2n ** 252n + 27_742_317_777_372_353_535_851_937_790_883_648_493n;
    const scalar = BigInt(`0x${toHex(signature.slice(32).toReversed())}`) + order;
    const unreduced = fromHex(scalar.toString(16).padStart(64, '0')).toReversed();
    signature.set(unreduced, 32);
    assert.not(curve.verify(signature, message, curve.publicKeyOf(seed)));
  });

  test(`${name}: shared secrets equal Project Wycheproof’s, and points of small order are refused`, () => {
    for (const vector of x25519.vectors) {
      const agree = () => toHex(curve.agree(fromHex(vector.private), fromHex(vector.public)));
      if (/^0+$/.test(vector.shared)) assert.throws(agree, undefined, `vector ${vector.id}`);
      else assert.is(agree(), vector.shared, `vector ${vector.id}`);
    }
  });
}

test('both implementations agree on keys converted from Ed25519', () => {
  for (let number = 1; number < 20; number++) {
    const [one, other] = [new Uint8Array(32).fill(number), new Uint8Array(32).fill(number + 100)];
    const agreed = portable.agree(x25519Secret(one), x25519Public(portable.publicKeyOf(other)));
    assert.equal(platform?.agree(x25519Secret(other), x25519Public(platform.publicKeyOf(one))), agreed);
    assert.equal(platform?.sign(one, other), portable.sign(one, other));
  }
});

test('a point outside the prime-order subgroup is refused', () => {
  // A point of order 8, and the sum of a key and that point: on the curve, but unusable (RFC 7748, section 7).
  const small = fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a');
  assert.throws(() => x25519Public(small), /subgroup/);
});

test.run();
