import { test } from 'uvu';

test('forgets a promise', () => {
  setTimeout(() => void Promise.reject(new Error('nobody waited')), 10);
});
test.run();
