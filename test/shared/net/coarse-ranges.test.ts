/** Fewer ranges that cover all given ones. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { contains, parseRange } from '../../../shared/net/cidr.ts';
import { coarsen, tidy } from '../../../shared/net/coarse-ranges.ts';

test('neighbours with the smallest common range are merged into it', () => {
  const cases: [what: string, ranges: string[], limit: number, left: string[]][] = [
    ['few enough', ['10.1.0.0/24', '10.0.0.0/24'], 2, ['10.0.0.0/24', '10.1.0.0/24']],
    ['one inside another', ['10.0.0.0/8', '10.1.0.0/24'], 2, ['10.0.0.0/8']],
    [
      'the nearest pair',
      ['10.0.0.0/24', '10.0.9.0/24', '192.168.0.0/24'],
      2,
      ['10.0.0.0/20', '192.168.0.0/24'],
    ],
    [
      'of different size',
      ['10.0.0.0/16', '10.1.0.7/32', '172.16.0.0/24'],
      2,
      ['10.0.0.0/15', '172.16.0.0/24'],
    ],
    ['both families', ['10.0.0.0/24', 'fd00::/64', 'fd00:0:0:1::/64'], 2, ['10.0.0.0/24', 'fd00::/63']],
    ['no fewer than the families', ['10.0.0.0/24', 'fd00::/64'], 1, ['10.0.0.0/24', 'fd00::/64']],
    ['unreadable ones', ['10.0.0.1/24', 'x'], 1, []],
  ];
  for (const [what, ranges, limit, left] of cases) assert.equal(coarsen(ranges, limit), left, what);
});

test('none of a thousand ranges is left out', () => {
  const ranges = Array.from({ length: 1000 }, (_, index) => `10.${index % 250}.${index >> 2}.0/24`);
  const left = coarsen(ranges, 64);
  assert.ok(left.length <= 64);
  const wide = left.map((text) => parseRange(text));
  for (const text of ranges)
    assert.ok(
      wide.some((each) => contains(each, parseRange(text))),
      text,
    );
  assert.not(left.includes('0.0.0.0/0'));
});

test('ranges are sorted and without duplicates', () => {
  assert.equal(tidy(['10.1.0.0/16', ' 10.0.0.0/8 ', 'x', 'fd00::/8', '10.0.0.0/8']), [
    '10.0.0.0/8',
    'fd00::/8',
  ]);
});

test.run();
