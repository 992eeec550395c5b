import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { text } from '../../../daemon/vnode/untrusted.ts';

const test = suite('text of a provider');

const cases: [name: string, given: unknown, longest: number, taken: string | undefined][] = [
  ['text', 'back-off 10 s', 64, 'back-off 10 s'],
  ['lines and tabs, as tools write results', '[{"key":"a"}]\n\tb', 64, '[{"key":"a"}]\n\tb'],
  ['none', '', 64, undefined],
  ['another type', { length: 3 }, 64, undefined],
  ['a colour', 'red\u001b[31m', 64, 'red\\u001b[31m'],
  ['a bidirectional override', 'ab\u202edc', 64, 'ab\\u202edc'],
  ['a zero-width character', 'o\u200bk', 64, 'o\\u200bk'],
  ['half of a surrogate pair', 'a\ud83d', 64, 'a\\ud83d'],
  ['more than is taken', 'abcdef', 4, 'abcd'],
  ['escapes that make it longer', '\u0007\u0007\u0007', 8, '\\u0007\\u'],
  ['a pair that the bound would cut', '\u0007😀😀', 7, '\\u0007\ufffd'],
];

for (const [name, given, longest, taken] of cases) {
  test(name, () => {
    const first = text(given, longest);
    assert.is(first, taken);
    // Stored text is read again: the function must be idempotent.
    if (first !== undefined) assert.is(text(first, longest), first);
    if (first !== undefined) assert.is(JSON.parse(JSON.stringify(first)), first);
  });
}

test.run();
