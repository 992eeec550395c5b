import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  isQuantity,
  parseQuantity,
  subtractQuantities,
  type QuantityFormat,
} from '../../shared/quantities.ts';

test('every form of a quantity is parsed exactly', () => {
  for (const [text, nano] of [
    ['0', 0n],
    ['1', 1_000_000_000n],
    ['500m', 500_000_000n],
    ['0.5', 500_000_000n],
    ['.5', 500_000_000n],
    ['5.', 5_000_000_000n],
    ['100n', 100n],
    ['3u', 3_000n],
    ['1k', 10n ** 12n],
    ['1e3', 10n ** 12n],
    ['1E3', 10n ** 12n],
    ['1e-3', 10n ** 6n],
    ['1E', 10n ** 27n],
    ['1Ki', 1024n * 10n ** 9n],
    ['1.5Gi', 1_610_612_736n * 10n ** 9n],
    ['0.1Ki', 102_400_000_000n],
    ['1Ei', 1024n ** 6n * 10n ** 9n],
    ['-2', -2_000_000_000n],
    ['+2', 2_000_000_000n],
    ['0.1n', 1n],
    ['-0.1n', -1n],
  ] as const)
    assert.is(parseQuantity(text), nano, text);
});

test('invalid quantities are refused', () => {
  for (const text of [
    '',
    '.',
    'm',
    '1 ',
    ' 1',
    '1mi',
    '1ki',
    '1K',
    '1.2.3',
    '--1',
    '1e',
    '1e999',
    '1e31',
    '0x1',
    'NaN',
    '1e3m',
    '9'.repeat(65),
  ])
    assert.not(isQuantity(text), text);
});

test('quantities are formatted as in Kubernetes', () => {
  for (const [text, format, expected] of [
    ['1500m', 'Decimal', '1500m'],
    ['2000m', 'Decimal', '2'],
    ['5000', 'Decimal', '5k'],
    ['1536Mi', 'Binary', '1536Mi'],
    ['2048Mi', 'Binary', '2Gi'],
    ['1000', 'Binary', '1k'],
    ['1025', 'Binary', '1025'],
    ['1.5', 'Binary', '1500m'],
    ['0', 'Binary', '0'],
    ['-1024', 'Binary', '-1Ki'],
    ['3n', 'Decimal', '3n'],
    ['4096Ei', 'Binary', '4096Ei'],
  ] as const satisfies readonly (readonly [string, QuantityFormat, string])[])
    assert.is(formatQuantity(parseQuantity(text), format), expected, text);
});

test('formatted quantities round-trip', () => {
  for (let index = 0; index < 2000; index++) {
    const nano = BigInt(Math.floor(Math.random() * 2 ** 40)) * 10n ** BigInt(index % 15);
    for (const format of ['Decimal', 'Binary'] as const)
      assert.is(parseQuantity(formatQuantity(nano, format)), nano);
  }
});

test('quantities are compared, added and subtracted', () => {
  assert.is(compareQuantities('1', '1000m'), 0);
  assert.is(compareQuantities('1Gi', '1G'), 1);
  assert.is(compareQuantities('999m', '1'), -1);
  assert.is(addQuantities('500m', '1'), '1500m');
  assert.is(addQuantities('512Mi', '512Mi'), '1Gi');
  assert.is(addQuantities('0', '1Gi'), '1Gi');
  assert.is(addQuantities(), '0');
  assert.is(subtractQuantities('1Gi', '512Mi'), '512Mi');
  assert.is(subtractQuantities('1', '1500m'), '-500m');
});

test.run();
