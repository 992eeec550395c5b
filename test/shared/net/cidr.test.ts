import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  addressAt,
  addressFamily,
  anyContains,
  contains,
  covers,
  firstFreeRange,
  formatAddress,
  hostRange,
  normalizeAddress,
  offsetOf,
  overlaps,
  parseHost,
  parseRange,
  readHosts,
  tryParseHost,
  tryParseRange,
  without,
} from '../../../shared/net/cidr.ts';

test('ranges are read in canonical form', () => {
  assert.equal(parseRange('10.1.0.0/16').text, '10.1.0.0/16');
  assert.equal(parseRange('FD00:0:0:0::/64').text, 'fd00::/64');
  assert.equal(parseRange('10.1.2.3').text, '10.1.2.3/32');
  assert.equal(parseRange('::/0').length, 0);
  assert.equal(parseRange('10.0.0.0/8').end - parseRange('10.0.0.0/8').start, 0xffffffn);
});

test('an address is a range of one, in canonical form', () => {
  assert.equal(parseHost('10.1.2.3'), { ...parseRange('10.1.2.3/32'), address: '10.1.2.3' });
  assert.equal(parseHost('FD00:0::1'), { ...parseRange('fd00::1/128'), address: 'fd00::1' });
  assert.is(parseHost('255.255.255.255').start, 0xffffffffn);
  assert.is(parseHost('0.0.0.0').end, 0n);
  assert.throws(() => parseHost('10.1.2.0/24'), /not a valid IP address/);
  assert.is(tryParseHost('10.1.2.256'), undefined);
  assert.equal(
    readHosts(['10.1.2.3', 'nonsense', '::1']).map(({ text }) => text),
    ['10.1.2.3/32', '::1/128'],
  );
});

test('the remainder of a range without others', () => {
  const left = (range: string, ...others: string[]) =>
    without(
      parseRange(range),
      others.map((text) => parseRange(text)),
    ).map(({ text }) => text);
  assert.equal(left('10.0.0.0/8'), ['10.0.0.0/8']);
  assert.equal(left('10.0.0.0/8', '11.0.0.0/8', 'fd00::/8'), ['10.0.0.0/8']);
  assert.equal(left('10.0.0.0/8', '10.128.0.0/9'), ['10.0.0.0/9']);
  assert.equal(left('10.0.0.0/16', '10.0.0.0/8'), []);
  assert.ok(covers([parseRange('10.0.0.0/8')], parseHost('10.9.8.7')));
  assert.not(covers([parseRange('10.0.0.0/8')], parseHost('::a09:807')));
});

test('an invalid range is refused with the reason', () => {
  const wrong = [
    '',
    '/',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/+8',
    '10.0.0.0/8/8',
    '010.0.0.0/8',
    '10.0.0/8',
    '10.0.0.256/32',
    '10.0.0.0 /8',
    '::/129',
    'fd00::g/64',
    'fe80::1%eth0/64',
    '1:2:3:4:5:6:7:8:9/64',
    `${'0'.repeat(100)}::/64`,
    'ten/8',
  ];
  for (const text of wrong) assert.is(tryParseRange(text), undefined, text);
  assert.throws(() => parseRange('10.1.2.3/16'), /the range is 10\.1\.0\.0\/16/);
  assert.throws(() => parseRange('fd00::1/64'), /the range is fd00::\/64/);
  assert.throws(() => parseRange('10.0.0.0/40'), /0 to 32/);
});

test('addresses are written as in RFC 5952', () => {
  assert.equal(normalizeAddress('2001:0DB8:0:0:1:0:0:1'), '2001:db8::1:0:0:1');
  assert.equal(normalizeAddress('::ffff:10.1.2.3'), '::ffff:a01:203');
  assert.equal(formatAddress(0n, 6), '::');
  assert.equal(formatAddress(0xffffffffn, 4), '255.255.255.255');
  assert.equal(hostRange('fd00::5'), 'fd00::5/128');
  assert.is(addressFamily('10.0.0.1/32'), undefined);
});

test('all forms of IPv6 addresses are read, and nothing else', () => {
  for (const text of [
    '::',
    '::1',
    '1::',
    'fd00::1:2',
    '1:2:3:4:5:6:7:8',
    '::ffff:10.1.2.3',
    '1:2:3:4:5:6:10.1.2.3',
    'A::b',
  ]) {
    assert.is(addressFamily(text), 6, text);
  }
  const wrong = [
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    ':1::',
    '1:',
    '12345::',
    '1:2:3:4:5:6:7:8::',
  ];
  for (const text of [
    ...wrong,
    '::10.1.2',
    '10.1.2.3::',
    '1:2:3:4:5:6:7:10.1.2.3',
    '::1%1',
    'g::',
    '1.2.3.4:5',
    '',
  ]) {
    assert.is(addressFamily(text), undefined, text);
  }
});

test('overlap and containment of ranges', () => {
  const range = (text: string) => parseRange(text);
  assert.ok(overlaps(range('10.0.0.0/8'), range('10.255.255.255/32')));
  assert.not.ok(overlaps(range('10.0.0.0/16'), range('10.1.0.0/16')));
  assert.not.ok(overlaps(range('0.0.0.0/0'), range('::/0')));
  assert.ok(contains(range('10.0.0.0/8'), range('10.1.0.0/16')));
  assert.not.ok(contains(range('10.1.0.0/16'), range('10.0.0.0/8')));
  assert.ok(anyContains([range('10.1.0.0/16'), range('fd00::/8')], 'fdff::1'));
  assert.not.ok(anyContains([range('10.1.0.0/16')], 'not an address'));
});

test('offsets round-trip', () => {
  const range = parseRange('100.64.16.0/20');
  assert.equal(addressAt(range, 16), '100.64.16.16');
  assert.equal(offsetOf(range, '100.64.17.1'), 257n);
  assert.is(offsetOf(range, '100.64.32.0'), undefined);
  assert.is(offsetOf(range, 'fd00::1'), undefined);
  assert.throws(() => addressAt(range, 4096), /no address number 4096/);
});

test('the first free range equals that of a slow search', () => {
  let seed = 1;
  const random = (limit: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % limit;
  };
  for (let round = 0; round < 300; round++) {
    const pools = [parseRange('10.8.0.0/22'), parseRange('10.16.0.0/24')];
    const used = Array.from({ length: random(12) }, () => {
      const length = 22 + random(9);
      const size = 1n << BigInt(32 - length);
      const start = parseRange(random(2) === 0 ? '10.8.0.0/16' : '10.16.0.0/16').start;
      return parseRange(
        `${formatAddress(start + BigInt(random(Number(2048n / size) || 1)) * size, 4)}/${length}`,
      );
    });
    const length = 22 + random(7);
    const size = 1n << BigInt(32 - length);
    let expected: string | undefined;
    for (const pool of pools) {
      for (let start = pool.start; expected === undefined && start + size - 1n <= pool.end; start += size) {
        const candidate = parseRange(`${formatAddress(start, 4)}/${length}`);
        if (!used.some((other) => overlaps(other, candidate))) expected = candidate.text;
      }
    }
    assert.is(firstFreeRange(length, pools, used)?.text, expected);
  }
});

test.run();
