/** A controller's waits when the wall clock jumps, as after sleep or a correction of the time. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runController, triggers } from '../../../daemon/kube/index.ts';

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A monotonic clock for timers, and a wall clock with an adjustable offset to it. */
function movable() {
  let passed = 0;
  let moved = 0;
  const timers = new Set<{ at: number; call: () => void }>();
  return {
    clock: {
      now: () => passed + moved,
      monotonic: () => passed,
      after(milliseconds: number, call: () => void) {
        const timer = { at: passed + milliseconds, call };
        timers.add(timer);
        return () => void timers.delete(timer);
      },
    },
    move: (milliseconds: number) => {
      moved += milliseconds;
    },
    pass: async (milliseconds: number) => {
      const end = passed + milliseconds;
      for (;;) {
        await settled();
        const next = [...timers].toSorted((a, b) => a.at - b.at).find(({ at }) => at <= end);
        if (next === undefined) break;
        timers.delete(next);
        passed = Math.max(passed, next.at);
        next.call();
      }
      passed = end;
      await settled();
    },
  };
}

async function controller(after: () => number) {
  const time = movable();
  const stop = new AbortController();
  const source = triggers();
  const runs: number[] = [];
  const running = runController(
    {
      name: 'test',
      sources: [source],
      clock: time.clock,
      reconcile: () => {
        runs.push(time.clock.now());
        return Promise.resolve({ requeueAfterMilliseconds: after() });
      },
    },
    stop.signal,
  );
  await settled();
  source.trigger('key');
  await time.pass(1);
  const end = async () => {
    stop.abort(new Error('seen'));
    await running;
  };
  return { time, source, runs, end };
}

const week = 7 * 24 * 3_600_000;

test('a retry in half a second is on time, although a timer from before the clock change is set', async () => {
  let after = 800_000;
  const { time, source, runs, end } = await controller(() => after);
  assert.is(runs.length, 1);
  time.move(week);
  after = 500;
  source.trigger('key');
  await time.pass(2_000);
  assert.ok(runs.length >= 4, `${runs.length} runs`);
  await end();
});

test('keys that may be due by the new time are reconciled within a minute without an event', async () => {
  const { time, runs, end } = await controller(() => 2_400_000);
  time.move(week);
  await time.pass(61_000);
  assert.is(runs.length, 2);
  await end();
});

test('a clock that was set back by an hour delays no retry', async () => {
  const { time, runs, end } = await controller(() => 10_000);
  time.move(-3_600_000);
  await time.pass(61_000);
  assert.ok(runs.length >= 6, `${runs.length} runs`);
  await end();
});

test('keys that are not due wait, however often the timer fires', async () => {
  const { time, runs, end } = await controller(() => 600_000);
  await time.pass(590_000);
  assert.is(runs.length, 1);
  await time.pass(11_000);
  assert.is(runs.length, 2);
  await end();
});

test.run();
