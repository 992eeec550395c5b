import { createHash, X509Certificate } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { certificatePin } from '../../../shared/trust/certificate-pin.ts';
import { issueSelfSignedCertificate } from '../../../shared/trust/self-signed-certificate.ts';

const now = Date.parse('2026-11-23T12:00:00Z');
const issued = await issueSelfSignedCertificate({
  hosts: ['gateway.example', '10.0.0.1', 'fd00::1'],
  days: 90,
  now,
});

test('a certificate has what TLS servers need', () => {
  const certificate = new X509Certificate(issued.certificate);
  assert.ok(certificate.verify(certificate.publicKey));
  assert.is(certificate.checkHost('gateway.example'), 'gateway.example');
  assert.is(certificate.checkIP('10.0.0.1'), '10.0.0.1');
  assert.is(certificate.checkIP('fd00::1'), 'fd00::1');
  assert.is(new Date(certificate.validTo).toISOString(), issued.expiresAt);
  assert.not(certificate.ca);
});

test('the pin is the hash of the public key as OpenSSL exports it', () => {
  const { publicKey } = new X509Certificate(issued.certificate);
  const expected = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
  assert.is(issued.pin, expected);
  assert.is(certificatePin(new X509Certificate(issued.certificate).raw), expected);
});

test('a renewal keeps the key and the pin', async () => {
  const renewed = await issueSelfSignedCertificate({
    hosts: ['other.example'],
    days: 90,
    now: now + 86_400_000,
    privateKey: issued.privateKey,
  });
  assert.is(renewed.pin, issued.pin);
  assert.is(renewed.privateKey, issued.privateKey);
  assert.not.equal(renewed.certificate, issued.certificate);
});

test('invalid certificates have no pin', () => {
  const { raw } = new X509Certificate(issued.certificate);
  for (const broken of ['', 'text', new Uint8Array(0), raw.subarray(0, 100), new Uint8Array(500).fill(0x30)])
    assert.throws(
      () => certificatePin(broken),
      (error: unknown) => error instanceof RangeError,
    );
});

test.run();
