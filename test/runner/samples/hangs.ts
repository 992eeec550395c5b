import { test } from 'uvu';

test('waits for ever', () => new Promise(() => setInterval(() => {}, 1000)));
test.run();
