import { test } from 'uvu';

test('one', () => {
  throw 'just a string';
});
test('two', () => {});
test.run();
