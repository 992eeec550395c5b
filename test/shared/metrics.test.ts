import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Histogram, labelText, renderMetrics } from '../../shared/metrics.ts';

const test = suite('metrics text');

const labelCases: [string, Record<string, string>, string][] = [
  ['none', {}, ''],
  ['plain', { a: 'b', c: '' }, '{a="b",c=""}'],
  ['quote, backslash and line feed', { a: 'x"y\\z\n' }, '{a="x\\"y\\\\z\\n"}'],
];
for (const [what, labels, text] of labelCases)
  test(`label values - ${what} - are escaped`, () => assert.is(labelText(labels), text));

test('a family - with samples - is rendered with help and type', () => {
  assert.is(
    renderMetrics([
      {
        name: 'a',
        type: 'gauge',
        help: 'One\nline.',
        samples: [{ value: 1 }, { labels: { b: 'c' }, value: NaN }],
      },
      { name: 'd_total', type: 'counter', help: 'Infinite.', samples: [{ value: Infinity }] },
    ]),
    '# HELP a One\\nline.\n# TYPE a gauge\na 1\na{b="c"} NaN\n# HELP d_total Infinite.\n# TYPE d_total counter\nd_total +Inf\n',
  );
});

test('a histogram - after observations - counts each up to its bound', () => {
  const histogram = new Histogram([0.1, 1]);
  for (const value of [0.05, 0.1, 0.5, 3]) histogram.observe(value);
  assert.equal(
    histogram.samples({ a: 'b' }).map(({ suffix, labels, value }) => [suffix, labels?.['le'], value]),
    [
      ['_bucket', '0.1', 2],
      ['_bucket', '1', 3],
      ['_bucket', '+Inf', 4],
      ['_sum', undefined, 3.65],
      ['_count', undefined, 4],
    ],
  );
});

test.run();
