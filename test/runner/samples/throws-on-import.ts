import { test } from 'uvu';

test('one', () => {});
test.run();
throw new Error('thrown while it was imported');
