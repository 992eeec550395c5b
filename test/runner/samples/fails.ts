import { test } from 'uvu';
import * as assert from 'uvu/assert';

test('right', () => assert.is(1, 1));
test('wrong', () => assert.is(1, 2));
test.run();
