import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesOf, toBase64, toBase64URL } from '../../../shared/trust/encoding.ts';
import {
  NetworkDocumentError,
  openNetworkDocument,
  signNetworkDocument,
  supersedes,
} from '../../../shared/trust/network-documents.ts';
import { derivePresharedKey, presharedKeyRevision } from '../../../shared/trust/preshared-key.ts';
import type { NetworkDocument } from '../../../shared/wire/network-document.ts';
import { keyOf } from './keys.ts';

const salt = (number: number) => toBase64(new Uint8Array(32).fill(number));
const document: NetworkDocument = {
  version: 1,
  clusterID: 'consumer',
  recipient: 'provider',
  generation: 3,
  requires: [],
  podCIDRs: ['10.200.0.0/16'],
  externalCIDR: '100.64.0.0/20',
  mtu: 1420,
  tunnelEndpoints: [],
  remaps: [],
  salt: salt(9),
  acknowledges: 0,
};
const expected = { publicKey: keyOf(1).publicKey, sender: 'consumer', recipient: 'provider' };

function problemOf(run: () => unknown): NetworkDocumentError {
  try {
    run();
  } catch (error) {
    if (error instanceof NetworkDocumentError) return error;
    throw error;
  }
  throw new Error('no error');
}

test('a signed document is opened, including unknown fields', () => {
  const withMore = { ...document, later: { a: [1] } };
  assert.equal(openNetworkDocument(signNetworkDocument(withMore, keyOf(1)), expected), withMore);
});

test('a document with another key, sender, recipient or a changed payload is refused', () => {
  const signed = signNetworkDocument(document, keyOf(1));
  const reason = (changes: object, of = signed) =>
    problemOf(() => openNetworkDocument(of, { ...expected, ...changes })).reason;
  assert.is(reason({ publicKey: keyOf(2).publicKey }), 'BadSignature');
  assert.is(reason({ sender: 'somebody' }), 'OtherSender');
  assert.is(reason({ recipient: 'somebody' }), 'OtherRecipient');
  assert.is(reason({}, { ...signed, payload: `${signed.payload.slice(0, -1)}A` }), 'BadSignature');
  assert.is(reason({}, { ...signed, signature: '?' }), 'BadSignature');
  assert.is(reason({}, { ...signed, payload: 'A'.repeat(70_000) }), 'TooLarge');
});

test('a signature over the payload without context is refused', () => {
  const { payload } = signNetworkDocument(document, keyOf(1));
  const signature = toBase64URL(keyOf(1).sign(bytesOf(payload)));
  assert.is(problemOf(() => openNetworkDocument({ payload, signature }, expected)).reason, 'BadSignature');
});

test('an invalid field and an unknown requirement are named', () => {
  const sign = (value: unknown) => {
    const payload = toBase64URL(bytesOf(typeof value === 'string' ? value : JSON.stringify(value)));
    return {
      payload,
      signature: toBase64URL(keyOf(1).sign(bytesOf(`hawser network document v1\0${payload}`))),
    };
  };
  const malformed = problemOf(() => openNetworkDocument(sign({ ...document, mtu: 1 }), expected));
  assert.is(malformed.reason, 'Malformed');
  assert.is(malformed.field, 'mtu');
  assert.is(problemOf(() => openNetworkDocument(sign('{'), expected)).reason, 'Malformed');
  const later = problemOf(() => openNetworkDocument(sign({ ...document, requires: ['teleport'] }), expected));
  assert.is(later.reason, 'NotUnderstood');
  assert.match(later.message, 'teleport');
});

test('only higher generations are accepted', () => {
  assert.ok(supersedes(document, undefined));
  assert.ok(supersedes(document, 2));
  assert.not(supersedes(document, 3));
  assert.not(supersedes(document, 4));
});

test('both sides derive the same pre-shared key, and a different one for any other input', () => {
  const a = { clusterID: 'a', publicKey: keyOf(1).publicKey, salt: salt(1) };
  const b = { clusterID: 'b', publicKey: keyOf(2).publicKey, salt: salt(2) };
  const psk = derivePresharedKey(keyOf(1), a, b);
  assert.is(psk.length, 32);
  assert.equal(derivePresharedKey(keyOf(2), b, a), psk);
  for (const other of [
    derivePresharedKey(keyOf(1), { ...a, salt: salt(3) }, b),
    derivePresharedKey(keyOf(1), a, { ...b, salt: salt(3) }),
    derivePresharedKey(keyOf(1), { ...a, clusterID: 'c' }, b),
    derivePresharedKey(keyOf(1), { ...a, salt: b.salt }, { ...b, salt: a.salt }),
    derivePresharedKey(keyOf(3), a, b),
  ])
    assert.not.equal(other, psk);
  assert.throws(() => derivePresharedKey(keyOf(1), a, { ...b, clusterID: 'a' }), /must differ/);
  assert.throws(() => derivePresharedKey(keyOf(1), a, { ...b, salt: 'AAAA' }), /bytes/);
  assert.is(presharedKeyRevision(a, b), presharedKeyRevision(b, a));
  assert.not.equal(presharedKeyRevision(a, b), presharedKeyRevision(a, { ...b, salt: salt(3) }));
});

test.run();
