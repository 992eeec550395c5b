import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LabelSelector } from '../../shared/api/policies.ts';
import { selectorMatches } from '../../shared/label-selectors.ts';

const labels = { app: 'web', 'example.com/tier': 'front' };
const expression = (
  key: string,
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
  values?: string[],
): LabelSelector => ({ matchExpressions: [{ key, operator, ...(values && { values }) }] });

test('selectors match as in Kubernetes', () => {
  const table: [string, LabelSelector, boolean][] = [
    ['everything', {}, true],
    ['a label', { matchLabels: { app: 'web' } }, true],
    ['another value', { matchLabels: { app: 'db' } }, false],
    ['two labels', { matchLabels: { app: 'web', 'example.com/tier': 'front' } }, true],
    ['one of two', { matchLabels: { app: 'web', zone: 'a' } }, false],
    ['In', expression('app', 'In', ['db', 'web']), true],
    ['In, of a label that is not there', expression('zone', 'In', ['a']), false],
    ['In nothing', expression('app', 'In'), false],
    ['NotIn', expression('app', 'NotIn', ['web']), false],
    ['NotIn, of a label that is not there', expression('zone', 'NotIn', ['a']), true],
    ['Exists', expression('app', 'Exists'), true],
    ['DoesNotExist', expression('app', 'DoesNotExist'), false],
    ['what every object has', expression('constructor', 'Exists'), false],
    ['both parts', { ...expression('zone', 'DoesNotExist'), matchLabels: { app: 'web' } }, true],
  ];
  for (const [what, selector, expected] of table)
    assert.is(selectorMatches(selector, labels), expected, what);
  assert.is(selectorMatches({}), true);
  assert.is(selectorMatches({ matchLabels: { app: 'web' } }), false);
});

test.run();
