import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createRateLimiter } from '../../../daemon/peering/rate-limiter.ts';

test('a rate limiter admits a burst, then one per interval, and refills over time', async () => {
  let now = 0;
  const clock = {
    now: () => now,
    monotonic: () => now,
    after(milliseconds: number, call: () => void) {
      now += milliseconds;
      queueMicrotask(call);
      return () => undefined;
    },
  };
  const { signal } = new AbortController();
  const limiter = createRateLimiter(clock, 3, 1000);
  const at: number[] = [];
  for (let index = 0; index < 6; index++) {
    await limiter.wait(signal);
    at.push(now);
  }
  assert.equal(at, [0, 0, 0, 1000, 2000, 3000]);
  now = 60_000;
  for (let index = 0; index < 4; index++) {
    await limiter.wait(signal);
    at.push(now);
  }
  assert.equal(at.slice(6), [60_000, 60_000, 60_000, 61_000]);
});

test.run();
