import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inspect } from 'node:util';
import {
  ClusterKey,
  isUsablePublicKey,
  keyFingerprint,
  verifySignature,
} from '../../../shared/trust/cluster-key.ts';
import { fromHex, toBase64, toHex } from '../../../shared/trust/encoding.ts';
import { keyOf } from './keys.ts';

test('signatures equal RFC 8032, section 7.1, test 2', () => {
  const key = new ClusterKey(fromHex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb'));
  assert.is(
    key.publicKey,
    toBase64(fromHex('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')),
  );
  assert.is(
    toHex(key.sign(Uint8Array.of(0x72))),
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  );
});

test('a key verifies only its own signatures', () => {
  const key = keyOf(1);
  const message = new TextEncoder().encode('message');
  const signature = key.sign(message);
  assert.ok(verifySignature(key.publicKey, message, signature));
  assert.not(verifySignature(keyOf(2).publicKey, message, signature));
  assert.not(verifySignature(key.publicKey, new TextEncoder().encode('massage'), signature));
  assert.not(verifySignature(key.publicKey, message, signature.subarray(1)));
  assert.not(verifySignature('no key', message, signature));
});

test('both sides derive the same secret', () => {
  assert.equal(keyOf(1).agree(keyOf(2).publicKey), keyOf(2).agree(keyOf(1).publicKey));
  assert.not.equal(keyOf(1).agree(keyOf(2).publicKey), keyOf(1).agree(keyOf(3).publicKey));
});

test('keys of small order, off the curve and of another length are refused', () => {
  const identity = new Uint8Array(32);
  identity[0] = 1;
  for (const bytes of [identity, new Uint8Array(32), new Uint8Array(32).fill(0xff), new Uint8Array(31)]) {
    assert.not(isUsablePublicKey(toBase64(bytes)));
    assert.throws(
      () => keyOf(1).agree(toBase64(bytes)),
      (error: unknown) => error instanceof RangeError,
    );
  }
  assert.ok(isUsablePublicKey(keyOf(1).publicKey));
});

test('the private key appears only in the Secret, not in logs or serialised objects', () => {
  const key = keyOf(7);
  const secret = key.exportPrivateKey();
  for (const text of [inspect(key, { depth: 9, showHidden: true }), JSON.stringify(key)])
    assert.not(text.includes(secret));
  assert.is(ClusterKey.fromPrivateKey(secret).publicKey, key.publicKey);
  assert.is(key.fingerprint, keyFingerprint(key.publicKey));
});

test.run();
