import { createServer } from 'node:net';
import { test } from 'uvu';

test('listens', () => void createServer().listen(0, '127.0.0.1'));
test.run();
