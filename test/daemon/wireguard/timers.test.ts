import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { PROTOCOL_TIMES } from '../../../daemon/wireguard/constants-of-protocol.ts';
import { PeerTimers } from '../../../daemon/wireguard/timers.ts';
import type { Observation, TimerAction } from '../../../daemon/wireguard/timers.ts';

const test = suite('timers');

const QUIET: Observation = { lastDataReceived: 0, lastDataSent: 0, lastReceived: 0, lastSent: 0 };
const START = 1_000_000;

const initiate = (retry: boolean, silent: boolean): TimerAction => ({ type: 'initiate', retry, silent });

/** One step: the event, the resulting counters (relative to the start), the time, and the expected actions. */
interface Step {
  at: number;
  before?: (timers: PeerTimers, now: number) => void;
  seen?: Partial<Observation>;
  expected: TimerAction[];
}

const session =
  (initiator: boolean) =>
  (timers: PeerTimers, now: number): void => {
    timers.handshakeReceived(now);
    timers.keysDerived(now);
    timers.sessionBegan(now, initiator);
  };

const cases: { name: string; steps: Step[] }[] = [
  {
    name: 'nothing happened, nothing to do',
    steps: [
      { at: 0, expected: [] },
      { at: 1e9, expected: [] },
    ],
  },
  {
    name: 'retry after 5 s and jitter, not before',
    steps: [
      { at: 0, before: (timers, now) => timers.initiationSent(now, false), expected: [] },
      { at: 5_099, expected: [] },
      { at: 5_100, expected: [initiate(true, true)] },
    ],
  },
  {
    name: 'attempts end 90 s after the first',
    steps: [
      { at: 0, before: (timers, now) => timers.initiationSent(now, false), expected: [] },
      { at: 88_000, before: (timers, now) => timers.initiationSent(now, true), expected: [] },
      { at: 93_100, expected: [{ type: 'give-up' }] },
      { at: 200_000, expected: [] },
    ],
  },
  {
    name: 'a session ends the attempts',
    steps: [
      { at: 0, before: (timers, now) => timers.initiationSent(now, false), expected: [] },
      { at: 50, before: session(true), expected: [] },
      { at: 6_000, expected: [] },
    ],
  },
  {
    name: 'the initiator rekeys when it sends after 120 s; once per 5 s',
    steps: [
      { at: 0, before: session(true), expected: [] },
      { at: 119_999, seen: { lastSent: 119_999 }, expected: [] },
      { at: 120_500, seen: { lastSent: 120_001 }, expected: [initiate(false, false)] },
      {
        at: 120_600,
        before: (timers, now) => timers.initiationSent(now, false),
        seen: { lastSent: 120_600 },
        expected: [],
      },
    ],
  },
  {
    name: 'the responder never rekeys because of age',
    steps: [
      { at: 0, before: session(false), expected: [] },
      { at: 179_000, seen: { lastSent: 179_000, lastReceived: 179_000 }, expected: [] },
    ],
  },
  {
    name: 'an initiator that only receives rekeys after 165 s, once',
    steps: [
      { at: 0, before: session(true), expected: [] },
      { at: 164_999, seen: { lastReceived: 164_999, lastSent: 100 }, expected: [] },
      { at: 165_200, seen: { lastReceived: 165_100, lastSent: 100 }, expected: [initiate(false, false)] },
      { at: 165_700, seen: { lastReceived: 165_600, lastSent: 100 }, expected: [] },
    ],
  },
  {
    name: 'a rejected session is not renewed by old traffic',
    steps: [
      { at: 0, before: session(true), expected: [] },
      { at: 180_000, seen: { lastSent: 121_000, lastReceived: 150_000 }, expected: [] },
    ],
  },
  {
    name: 'a keepalive 10 s after data came and nothing went',
    steps: [
      { at: 0, before: session(true), expected: [] },
      { at: 1_000, seen: { lastDataReceived: 900, lastReceived: 900 }, expected: [] },
      { at: 10_800, seen: { lastDataReceived: 900, lastReceived: 900 }, expected: [] },
      { at: 10_900, seen: { lastDataReceived: 900, lastReceived: 900 }, expected: [{ type: 'keepalive' }] },
      { at: 11_000, seen: { lastDataReceived: 900, lastReceived: 900, lastSent: 10_900 }, expected: [] },
      { at: 60_000, seen: { lastDataReceived: 900, lastReceived: 900, lastSent: 10_900 }, expected: [] },
    ],
  },
  {
    name: 'no keepalive when something went in between',
    steps: [
      { at: 0, before: session(true), expected: [] },
      { at: 1_000, seen: { lastDataReceived: 900, lastReceived: 900 }, expected: [] },
      { at: 11_000, seen: { lastDataReceived: 900, lastReceived: 900, lastSent: 5_000 }, expected: [] },
    ],
  },
  {
    name: 'a keepalive that came asks for no answer',
    steps: [
      { at: 0, before: session(false), expected: [] },
      { at: 1_000, seen: { lastReceived: 900 }, expected: [] },
      { at: 30_000, seen: { lastReceived: 900 }, expected: [] },
    ],
  },
  {
    name: 'a new handshake 15 s and jitter after data went and nothing came',
    steps: [
      { at: 0, before: session(false), expected: [] },
      { at: 1_000, seen: { lastDataSent: 900, lastSent: 900 }, expected: [] },
      { at: 15_999, seen: { lastDataSent: 12_000, lastSent: 12_000 }, expected: [] },
      { at: 16_000, seen: { lastDataSent: 12_000, lastSent: 12_000 }, expected: [initiate(false, true)] },
    ],
  },
  {
    name: 'no new handshake when anything authentic came',
    steps: [
      { at: 0, before: session(false), expected: [] },
      { at: 1_000, seen: { lastDataSent: 900, lastSent: 900 }, expected: [] },
      { at: 16_000, seen: { lastDataSent: 900, lastSent: 900, lastReceived: 10_000 }, expected: [] },
      { at: 60_000, seen: { lastDataSent: 900, lastSent: 900, lastReceived: 10_000 }, expected: [] },
    ],
  },
  {
    name: 'persistent keepalive: at once, then each interval after the last packet of either way',
    steps: [
      {
        at: 0,
        before: (timers) => timers.setPersistentInterval(25_000),
        expected: [{ type: 'keepalive' }],
      },
      { at: 24_999, expected: [] },
      { at: 25_000, expected: [{ type: 'keepalive' }] },
      { at: 50_000, seen: { lastReceived: 30_000 }, expected: [] },
      { at: 55_000, seen: { lastReceived: 30_000 }, expected: [{ type: 'keepalive' }] },
      { at: 56_000, before: (timers) => timers.setPersistentInterval(0), expected: [] },
      { at: 200_000, expected: [] },
    ],
  },
  {
    name: 'keys are erased after 540 s, and only once',
    steps: [
      { at: 0, before: session(true), expected: [] },
      { at: 539_999, expected: [] },
      { at: 540_000, expected: [{ type: 'erase-keys' }] },
      { at: 540_001, before: (timers) => timers.keysErased(), expected: [] },
    ],
  },
  {
    name: 'after erasing, the next handshake may start at once',
    steps: [
      { at: 0, before: (timers, now) => timers.initiationSent(now, false), expected: [] },
      { at: 10, before: (timers) => timers.keysErased(), expected: [] },
      { at: 20, before: (timers, now) => assert.ok(timers.mayInitiate(now)), expected: [] },
    ],
  },
];

for (const { name, steps } of cases)
  test(name, () => {
    const timers = new PeerTimers(PROTOCOL_TIMES, () => 100);
    for (const { at, before, seen = {}, expected } of steps) {
      const now = START + at;
      const observation = { ...QUIET };
      for (const key of Object.keys(seen) as (keyof Observation)[])
        observation[key] = START + (seen[key] ?? 0);
      before?.(timers, now);
      assert.equal(timers.advance(observation, now), expected, `at ${at} ms`);
    }
  });

test('the next deadline is never later than the action it announces', () => {
  const timers = new PeerTimers(PROTOCOL_TIMES, () => 100);
  assert.is(timers.nextDeadline(QUIET), null);
  timers.initiationSent(START, false);
  assert.is(timers.nextDeadline(QUIET), START + 5_100);
  session(true)(timers, START + 10);
  assert.is(timers.nextDeadline(QUIET), START + 540_010);
  assert.ok(timers.needsObservation);
  timers.advance({ ...QUIET, lastDataReceived: START + 20, lastReceived: START + 20 }, START + 30);
  assert.is(timers.nextDeadline(QUIET), START + 10_020);
  timers.setPersistentInterval(5_000);
  assert.is(timers.nextDeadline(QUIET), 0, 'turned on: at once');
});

test.run();
