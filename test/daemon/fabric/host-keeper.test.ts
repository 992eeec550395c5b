/** When the kernel is checked again while the tunnel device is missing, and that it is not touched otherwise. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HostKeeper } from '../../../daemon/fabric/node/host-keeper.ts';
import type { Host, HostPlan } from '../../../daemon/host/index.ts';
import { silentLog } from '../../../daemon/kube/index.ts';
import { type Clock } from '../../../shared/time.ts';

/** A clock that is advanced manually. */
function handClock(): Clock & { pass(milliseconds: number): Promise<void>; waiting(): number } {
  let now = 0;
  const timers = new Map<() => void, number>();
  return {
    now: () => now,
    monotonic: () => now,
    after(milliseconds, call) {
      const timer = () => call();
      timers.set(timer, now + milliseconds);
      return () => timers.delete(timer);
    },
    async pass(milliseconds) {
      for (const end = now + milliseconds; now < end;) {
        now += 10;
        for (const [timer, due] of timers) {
          if (due > now) continue;
          timers.delete(timer);
          timer();
          // Work started by the timer completes first.
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    },
    waiting: () => timers.size,
  };
}

const plan = {} as HostPlan;
const { signal } = new AbortController();

function keeperOf(present: () => boolean) {
  const clock = handClock();
  let looks = 0;
  const host: Pick<Host, 'apply'> = {
    apply: () => {
      looks++;
      return Promise.resolve({ changes: [], devicePresent: present(), refused: [], networks: [] });
    },
  };
  const keeper: HostKeeper = new HostKeeper({
    host: host as Host,
    progress: {},
    wake: () => void keeper.apply(plan, signal),
    clock,
    log: silentLog,
  });
  return { keeper, clock, looks: () => looks };
}

test('a missing device is retried with backoff by a single timer, however often apply is called', async () => {
  const { keeper, clock, looks } = keeperOf(() => false);
  for (let asked = 0; asked < 20; asked++) await keeper.apply(plan, signal);
  assert.is(clock.waiting(), 1);
  const before = looks();
  await clock.pass(60_000);
  assert.is(clock.waiting(), 1);
  assert.ok(looks() - before > 10 && looks() - before < 40, `${looks() - before} looks in a minute`);
});

test('a device that is being created is retried at once, even after a long absence', async () => {
  let present = false;
  const { keeper, clock, looks } = keeperOf(() => present);
  await keeper.apply(plan, signal);
  await clock.pass(60_000);
  keeper.suspect();
  await clock.pass(10);
  const before = looks();
  present = true;
  await clock.pass(150);
  assert.is(looks() - before, 1);
  assert.is(clock.waiting(), 0);
  await clock.pass(60_000);
  assert.is(looks() - before, 1, 'what is as planned is left alone');
});

test.run();
