import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { CookieChecker, CookieGenerator } from '../../../daemon/wireguard/cookie.ts';
import {
  encodeCookieReply,
  encodeInitiation,
  encodeResponse,
  parseHandshakeMessage,
} from '../../../daemon/wireguard/messages.ts';
import { publicKeyOf } from '../../../daemon/wireguard/primitives.ts';
import { limitedSource, SourceLimiter } from '../../../daemon/wireguard/rate-limiter.ts';
import { encodeTimestamp, isLater, TimestampSource } from '../../../daemon/wireguard/tai64n.ts';
import { toHex } from './hex.ts';
import { generator, randomBytesOf } from './simulation.ts';

const test = suite('messages');

const random = randomBytesOf(generator(42));

test('initiation, response and cookie reply round-trip at their exact lengths', () => {
  const initiation = encodeInitiation(0xfedcba98, random(108));
  assert.is(initiation.length, 148);
  assert.is(toHex(initiation.subarray(0, 8)), '0100000098badcfe');
  assert.equal(parseHandshakeMessage(initiation), {
    type: 'initiation',
    sender: 0xfedcba98,
    noise: initiation.subarray(8, 116),
  });
  const response = encodeResponse(1, 0xffffffff, random(48));
  assert.is(response.length, 92);
  assert.equal(parseHandshakeMessage(response), {
    type: 'response',
    sender: 1,
    receiver: 0xffffffff,
    noise: response.subarray(12, 60),
  });
  const reply = encodeCookieReply(7, random(24), random(32));
  assert.is(reply.length, 64);
  assert.equal(parseHandshakeMessage(reply), {
    type: 'cookie-reply',
    receiver: 7,
    nonce: reply.subarray(8, 32),
    sealedCookie: reply.subarray(32),
  });
});

test('messages with wrong lengths, types or reserved bytes are rejected', () => {
  const initiation = encodeInitiation(1, random(108));
  for (let length = 0; length < 300; length++) {
    const bytes = new Uint8Array(length);
    bytes.set(initiation.subarray(0, length));
    if (length !== 148) assert.is(parseHandshakeMessage(bytes), null, `${length} bytes`);
  }
  for (const position of [1, 2, 3]) {
    const bytes = Uint8Array.from(initiation);
    bytes[position] = 1;
    assert.is(parseHandshakeMessage(bytes), null);
  }
  for (const type of [0, 2, 3, 4, 5, 255]) {
    const bytes = Uint8Array.from(initiation);
    bytes[0] = type;
    assert.is(parseHandshakeMessage(bytes), null);
  }
  assert.throws(() => encodeInitiation(1, new Uint8Array(107)));
  assert.throws(() => encodeResponse(1, 2, new Uint8Array(49)));
  assert.throws(() => encodeCookieReply(1, new Uint8Array(24), new Uint8Array(31)));
});

test('a message in the middle of a larger buffer is read from its own bytes', () => {
  const initiation = encodeInitiation(0x01020304, random(108));
  const buffer = new Uint8Array(300);
  buffer.set(initiation, 77);
  const message = parseHandshakeMessage(buffer.subarray(77, 77 + 148));
  assert.is(message?.type === 'initiation' && message.sender, 0x01020304);
});

const publicKey = publicKeyOf(new Uint8Array(32).fill(1));

test('mac1 is valid only for its recipient and the unchanged message', () => {
  const generatorOfMacs = new CookieGenerator(publicKey);
  const checker = new CookieChecker(publicKey, random);
  const stranger = new CookieChecker(publicKeyOf(new Uint8Array(32).fill(2)), random);
  const bytes = encodeInitiation(1, random(108));
  generatorOfMacs.addMacs(bytes, 0);
  assert.ok(checker.checkMac1(bytes));
  assert.not.ok(stranger.checkMac1(bytes));
  assert.is(toHex(bytes.subarray(132)), '00'.repeat(16), 'without a cookie mac2 is zero');
  for (let position = 0; position < 132; position++) {
    const forged = Uint8Array.from(bytes);
    forged[position] = (forged[position] ?? 0) ^ 1;
    assert.not.ok(checker.checkMac1(forged), `byte ${position}`);
  }
});

test('cookies are bound to source and message, and valid for two minutes', () => {
  const macs = new CookieGenerator(publicKey);
  const checker = new CookieChecker(publicKey, random);
  const source = '192.0.2.1:51820';
  const first = encodeInitiation(9, random(108));
  macs.addMacs(first, 0);
  assert.not.ok(checker.checkMac2(first, source, 0), 'no cookie was ever given');

  const reply = parseHandshakeMessage(checker.createReply(first, 9, source, 1_000));
  assert.ok(reply?.type === 'cookie-reply' && reply.receiver === 9);
  if (reply?.type !== 'cookie-reply') return;
  const bystander = new CookieGenerator(publicKey);
  bystander.addMacs(encodeInitiation(9, random(108)), 0);
  assert.not.ok(bystander.consumeReply(reply.nonce, reply.sealedCookie, 1_000), 'another message');
  const idle = new CookieGenerator(publicKey);
  assert.not.ok(idle.consumeReply(reply.nonce, reply.sealedCookie, 1_000), 'nothing was sent');
  const tampered = Uint8Array.from(reply.sealedCookie);
  tampered[0] = (tampered[0] ?? 0) ^ 1;
  assert.not.ok(macs.consumeReply(reply.nonce, tampered, 1_000));
  assert.ok(macs.consumeReply(reply.nonce, reply.sealedCookie, 1_000));
  assert.not.ok(macs.consumeReply(reply.nonce, reply.sealedCookie, 1_000), 'once per message');

  const second = encodeInitiation(10, random(108));
  macs.addMacs(second, 2_000);
  assert.ok(checker.checkMac1(second));
  assert.ok(checker.checkMac2(second, source, 2_000));
  assert.not.ok(checker.checkMac2(second, '192.0.2.1:51821', 2_000), 'another port');
  assert.not.ok(checker.checkMac2(second, '192.0.2.2:51820', 2_000), 'another address');
  assert.ok(checker.checkMac2(second, source, 121_000));
  assert.not.ok(checker.checkMac2(second, source, 121_001), 'the secret is two minutes old');

  const third = encodeInitiation(11, random(108));
  macs.addMacs(third, 121_001);
  assert.is(toHex(third.subarray(132)), '00'.repeat(16), 'the cookie is two minutes old');

  checker.createReply(third, 11, source, 130_000);
  assert.not.ok(checker.checkMac2(second, source, 130_000), 'the secret was replaced');
});

test('timestamps are TAI64N labels, ordered by bytes and strictly increasing', () => {
  assert.is(toHex(encodeTimestamp(0n)), '400000000000000a00000000');
  assert.is(toHex(encodeTimestamp(1_700_000_000_123_456_789n)), '400000006553f10a075bcd15');
  assert.ok(isLater(encodeTimestamp(2_000_000_000n), encodeTimestamp(1_999_999_999n)));
  assert.not.ok(isLater(encodeTimestamp(5n), encodeTimestamp(5n)));
  const source = new TimestampSource();
  let last = source.next(1_700_000_000_000);
  for (const wall of [1_700_000_000_000, 1_700_000_000_001, 1_600_000_000_000, 0, -5, 1_700_000_000_500]) {
    const next = source.next(wall);
    assert.ok(isLater(next, last), `at ${wall}`);
    last = next;
  }
  const nanoseconds = new DataView(source.next(1_800_000_000_123).buffer).getUint32(8);
  assert.is(nanoseconds, Math.floor(123_000_000 / 2 ** 24) * 2 ** 24, 'rounded to 2^24 ns');
});

test('a source may send a burst of five and twenty per second, independent of others', () => {
  const limiter = new SourceLimiter();
  const admitted = (address: string, at: number, attempts: number) =>
    Array.from({ length: attempts }, () => limiter.allow(address, at)).filter(Boolean).length;
  assert.is(admitted('192.0.2.1', 10_000, 10), 5);
  assert.is(admitted('192.0.2.2', 10_000, 1), 1);
  assert.is(admitted('192.0.2.1', 10_050, 10), 1);
  assert.is(admitted('192.0.2.1', 10_550, 10), 5);
  assert.ok(limiter.size <= 2);
  limiter.allow('192.0.2.3', 60_000);
  assert.is(limiter.size, 1, 'the silent are forgotten');
});

test('all addresses of an IPv6 /64 are one source', () => {
  const table: readonly [endpoint: string, source: string][] = [
    ['192.0.2.1:51820', '192.0.2.1'],
    ['[2001:db8:1:2::1]:51820', '2001:db8:1:2::/64%'],
    ['[2001:db8:1:2:3:4:5:6]:1', '2001:db8:1:2::/64%'],
    ['[2001:db8::3]:1', '2001:db8:0:0::/64%'],
    ['[::1]:9', '0:0:0:0::/64%'],
    ['[::]:9', '0:0:0:0::/64%'],
    ['[::ffff:192.0.2.1]:9', '0:0:0:0::/64%'],
    ['[2001:db8:1:2:3::]:9', '2001:db8:1:2::/64%'],
    ['[1::2:3:4:5:6:7]:9', '1:0:2:3::/64%'],
    ['[fe80::1%3]:9', 'fe80:0:0:0::/64%3'],
  ];
  for (const [endpoint, source] of table) assert.is(limitedSource(endpoint), source, endpoint);
  const limiter = new SourceLimiter();
  const admitted = Array.from({ length: 40_000 }, (_, number) =>
    limiter.allow(limitedSource(`[2001:db8::${number.toString(16)}]:1`), 10_000),
  ).filter(Boolean).length;
  assert.is(admitted, 5);
  assert.ok(limiter.allow(limitedSource('[2001:db8:0:1::1]:1'), 10_000), 'an honest one beside the flood');
});

test('a flood of addresses is bounded in memory', () => {
  const limiter = new SourceLimiter();
  for (let number = 0; number < 40_000; number++)
    limiter.allow(`10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`, 5_000);
  assert.ok(limiter.size <= 16_384);
});

test.run();
