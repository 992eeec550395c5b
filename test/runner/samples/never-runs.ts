import { test } from 'uvu';

test('forgotten', () => {});
