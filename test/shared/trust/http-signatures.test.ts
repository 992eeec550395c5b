import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesOf } from '../../../shared/trust/encoding.ts';
import {
  contentDigest,
  readSignature,
  refuseReplay,
  SignatureError,
  signMessage,
  verifyMessage,
  type SignatureProblem,
} from '../../../shared/trust/http-signatures.ts';
import { MemoryReplayCache } from '../../../shared/trust/replay-cache.ts';
import { keyOf } from './keys.ts';

const now = Date.parse('2026-11-23T12:00:00Z');
const signer = keyOf(1);
const recipient = keyOf(2).fingerprint;
const message = {
  method: 'PUT',
  url: 'https://gateway.example:7443/v1/peering?peering=default',
  body: bytesOf('{"a":1}'),
};
const cache = () => new MemoryReplayCache({ perCluster: 4, clusters: 2 });

interface SignedAs {
  nonce?: string;
  at?: number;
  to?: string;
  body?: Uint8Array;
  key?: typeof signer;
  clusterID?: string;
}

function signed(options: SignedAs = {}): Headers {
  return new Headers(
    signMessage(
      { ...message, body: options.body ?? message.body },
      {
        key: options.key ?? signer,
        clusterID: options.clusterID ?? 'consumer',
        recipient: options.to ?? recipient,
        now: options.at ?? now,
        nonce: options.nonce ?? 'abcdefghijklmnop',
      },
    ),
  );
}

function check(
  headers: Headers,
  changes: Partial<{
    method: string;
    url: string;
    body: Uint8Array;
    publicKey: string;
    now: number;
    notBefore: number;
    replays: MemoryReplayCache;
  }> = {},
): SignatureProblem | 'OK' {
  try {
    const claim = readSignature(headers);
    verifyMessage({ ...message, ...changes, headers }, claim, {
      publicKey: changes.publicKey ?? signer.publicKey,
      recipients: [keyOf(7).fingerprint, recipient],
      now: changes.now ?? now,
      ...(changes.notBefore !== undefined && { notBefore: changes.notBefore }),
    });
    refuseReplay(claim, changes.replays ?? cache(), changes.now ?? now);
    return 'OK';
  } catch (error) {
    if (error instanceof SignatureError) return error.reason;
    throw error;
  }
}

test('a valid signature is accepted', () => {
  assert.is(check(signed()), 'OK');
  assert.is(readSignature(signed()).clusterID, 'consumer');
  assert.is(check(signed(), { url: 'https://GATEWAY.example:7443/v1/peering?peering=default' }), 'OK');
});

test('a changed request is refused', () => {
  assert.is(check(signed(), { method: 'DELETE' }), 'BadSignature');
  assert.is(
    check(signed(), { url: 'https://other.example:7443/v1/peering?peering=default' }),
    'BadSignature',
  );
  assert.is(
    check(signed(), { url: 'https://gateway.example:7443/v1/tokens?peering=default' }),
    'BadSignature',
  );
  assert.is(
    check(signed(), { url: 'https://gateway.example:7443/v1/peering?peering=other' }),
    'BadSignature',
  );
  assert.is(check(signed(), { body: bytesOf('{"a":2}') }), 'DigestMismatch');
  assert.is(check(signed(), { publicKey: keyOf(3).publicKey }), 'BadSignature');
  const digestOfOther = signed();
  digestOfOther.set('content-digest', contentDigest(bytesOf('{"a":2}')));
  assert.is(check(digestOfOther, { body: bytesOf('{"a":2}') }), 'BadSignature');
});

test('a signature for another provider is refused', () => {
  assert.is(check(signed({ to: keyOf(3).fingerprint })), 'OtherRecipient');
  const redirected = signed({ to: keyOf(3).fingerprint });
  redirected.set('hawser-recipient', recipient);
  assert.is(check(redirected), 'BadSignature');
});

test('clocks may differ by five minutes', () => {
  assert.is(check(signed(), { now: now + 300_000 }), 'OK');
  assert.is(check(signed(), { now: now + 301_000 }), 'ClockSkew');
  assert.is(check(signed(), { now: now - 300_000 }), 'OK');
  assert.is(check(signed(), { now: now - 301_000 }), 'ClockSkew');
});

test('a signature from before the start of the nonce memory is refused', () => {
  assert.is(check(signed(), { notBefore: now }), 'OK');
  assert.is(check(signed(), { notBefore: now + 1000 }), 'ClockSkew');
  // Within the allowed skew, so that only the start time refuses it.
  assert.is(check(signed({ at: now - 200_000 }), { notBefore: now - 201_000 }), 'OK');
});

test('a signature is accepted once, and its nonce is dropped after its expiry', () => {
  const replays = cache();
  assert.is(check(signed(), { replays }), 'OK');
  assert.is(check(signed(), { replays }), 'Replayed');
  for (const nonce of ['bbbbbbbbbbbbbbbb', 'cccccccccccccccc', 'dddddddddddddddd'])
    assert.is(check(signed({ nonce }), { replays }), 'OK');
  assert.is(check(signed({ nonce: 'eeeeeeeeeeeeeeee' }), { replays }), 'TooMany');
  const later = now + 301_000;
  assert.is(check(signed({ nonce: 'eeeeeeeeeeeeeeee', at: later }), { replays, now: later }), 'OK');
  assert.is(replays.size, 1);
});

test('a cluster with many keys has one share of the nonce memory', () => {
  const replays = cache();
  for (const [index, nonce] of ['bbbbbbbbbbbbbbbb', 'cccccccccccccccc', 'dddddddddddddddd'].entries()) {
    const key = keyOf(20 + index);
    assert.is(check(signed({ nonce, key }), { replays, publicKey: key.publicKey }), 'OK');
  }
  assert.is(check(signed({ clusterID: 'other' }), { replays }), 'OK', 'there is room for a second cluster');
});

test('a forged signature consumes no nonce', () => {
  const replays = cache();
  assert.is(check(signed(), { replays, method: 'DELETE' }), 'BadSignature');
  assert.is(replays.size, 0);
  assert.is(check(signed(), { replays }), 'OK');
});

test('a missing or malformed header is named', () => {
  for (const [header, value, reason] of [
    ['signature', null, 'Missing'],
    ['signature-input', null, 'Missing'],
    ['content-digest', null, 'Missing'],
    ['hawser-recipient', null, 'OtherRecipient'],
    ['signature', 'hawser=:***:', 'Malformed'],
    ['signature', 'other=:AAAA:', 'Missing'],
    ['signature', 'hawser=:AAAA:', 'BadSignature'],
    ['signature-input', 'hawser=("@method"', 'Malformed'],
    ['signature-input', 'hawser=("@method");created=1.5;nonce="abcdefghijklmnop";keyid="c"', 'Malformed'],
    ['signature-input', 'hawser=("@method");created=1;nonce="short";keyid="c"', 'Malformed'],
    [
      'signature-input',
      'hawser=("@method");created=1;nonce="abcdefghijklmnop";keyid="c";alg="hmac-sha256"',
      'Malformed',
    ],
    [
      'signature-input',
      'hawser=("@method" "@method");created=1;nonce="abcdefghijklmnop";keyid="c"',
      'Malformed',
    ],
    ['signature-input', 'hawser=("@method");created=1;nonce="abcdefghijklmnop";keyid="c"', 'NotCovered'],
    ['signature-input', 'x'.repeat(5000), 'Malformed'],
    ['content-digest', 'sha-512=:AAAA:', 'BadSignature'],
  ] as const) {
    const headers = signed();
    if (value === null) headers.delete(header);
    else headers.set(header, value);
    assert.is(check(headers), reason, `${header}: ${value?.slice(0, 60)}`);
  }
});

test('an empty body has a digest', () => {
  const body = new Uint8Array(0);
  assert.is(check(signed({ body }), { body }), 'OK');
  assert.is(check(signed({ body }), { body: bytesOf('x') }), 'DigestMismatch');
  // RFC 9530, appendix B.1 gives this digest of the empty string's SHA-256.
  assert.is(contentDigest(body), 'sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:');
});

test.run();
