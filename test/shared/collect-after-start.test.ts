import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { collectAfterStart } from '../../shared/collect-after-start.ts';

function timers() {
  const waiting: { milliseconds: number; call: () => void }[] = [];
  const after = (milliseconds: number, call: () => void) => {
    const timer = { milliseconds, call };
    waiting.push(timer);
    return () => void waiting.splice(waiting.indexOf(timer), 1);
  };
  return { waiting, after };
}

test('garbage is collected twice after the start, and rarely from then on until cancelled', () => {
  const { waiting, after } = timers();
  let collected = 0;
  const end = collectAfterStart(after, () => collected++);
  const pauses = Array.from({ length: 5 }, () => {
    const [timer] = waiting.splice(0);
    timer?.call();
    return timer?.milliseconds;
  });
  assert.equal(pauses, [20_000, 40_000, 1_800_000, 1_800_000, 1_800_000]);
  assert.is(collected, 5);
  assert.is(waiting.length, 1);
  end();
  assert.is(waiting.length, 0);
});

test('without an exposed collector nothing happens', () => {
  const { waiting, after } = timers();
  collectAfterStart(after, undefined)();
  assert.is(waiting.length, 0);
});

test.run();
