import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { toBase64URL } from '../../../shared/trust/encoding.ts';
import {
  decodePeeringToken,
  encodePeeringToken,
  isExpired,
  PeeringTokenError,
} from '../../../shared/trust/token-codec.ts';
import type { TokenContent } from '../../../shared/wire/gateway-api.ts';

const secret = toBase64URL(Uint8Array.from({ length: 32 }, (_, index) => 200 + index));
const content: TokenContent = {
  gatewayURL: 'https://gateway.provider.example:7443',
  gatewayPin: 'a1'.repeat(32),
  clusterID: 'provider-x1y2',
  keyFingerprint: 'b2'.repeat(32),
  secret,
  expiresAt: '2026-11-23T12:00:00Z',
};

function problemOf(text: string): PeeringTokenError {
  try {
    decodePeeringToken(text);
  } catch (error) {
    if (error instanceof PeeringTokenError) return error;
    throw error;
  }
  throw new Error('no error');
}

test('a token round-trips', () => {
  const token = encodePeeringToken(content);
  assert.ok(token.startsWith('hawser1.'));
  assert.ok(token.length < 260, `${token.length} characters`);
  assert.equal(decodePeeringToken(token), content);
  assert.equal(decodePeeringToken(`  ${token.slice(0, 80)}\n${token.slice(80)}\r\n`), content);
});

test('a token fits the longest URL and ID of the schema, and IPv6', () => {
  for (const change of [
    { gatewayURL: `https://${'a'.repeat(292)}`, clusterID: 'b'.repeat(40) },
    { gatewayURL: 'https://[fd00::1]:7443' },
  ])
    assert.equal(decodePeeringToken(encodePeeringToken({ ...content, ...change })), {
      ...content,
      ...change,
    });
});

test('every wrong, missing and swapped character is detected', () => {
  const token = encodePeeringToken(content);
  for (let index = 'hawser1.'.length; index < token.length; index++) {
    const other = token[index] === 'A' ? 'B' : 'A';
    assert.is(problemOf(token.slice(0, index) + other + token.slice(index + 1)).reason, 'Mistyped');
    assert.is(problemOf(token.slice(0, index)).reason, 'Mistyped');
  }
});

test('errors name the problem without repeating the token', () => {
  const token = encodePeeringToken(content);
  for (const [text, reason] of [
    ['', 'NotAToken'],
    ['eyJhbGciOiJSUzI1NiJ9.e30.c2ln', 'NotAToken'],
    [`hawser1.${'A'.repeat(5000)}`, 'NotAToken'],
    [token.replace('hawser1', 'hawser2'), 'OtherVersion'],
    [`${token}=`, 'Mistyped'],
    [`${token}!`, 'Mistyped'],
    ['hawser1.', 'Mistyped'],
    ['hawser1.AAAA', 'Mistyped'],
  ] as const) {
    const problem = problemOf(text);
    assert.is(problem.reason, reason, text.slice(0, 30));
    assert.not(problem.message.includes(secret.slice(5, 15)));
    assert.not(problem.message.includes(token.slice(20, 30)));
  }
});

test('invalid content cannot be encoded', () => {
  assert.throws(() => encodePeeringToken({ ...content, gatewayURL: 'http://x' }));
  assert.throws(() => encodePeeringToken({ ...content, secret: 'short' }));
  assert.throws(() => encodePeeringToken({ ...content, expiresAt: 'soon' }));
});

test('a token expires at its time', () => {
  const at = Date.parse(content.expiresAt);
  assert.not(isExpired(content, at - 1));
  assert.ok(isExpired(content, at));
  assert.ok(isExpired({ expiresAt: 'soon' }, 0));
});

test.run();
