/** DNS names of tunnel endpoints: their addresses, and how long each is tried. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EndpointChoice } from '../../../daemon/fabric/node/address-choice.ts';
import { createEndpointResolver } from '../../../daemon/fabric/node/address-resolver.ts';
import { silentLog } from '../../../daemon/kube/index.ts';
import type { Clock } from '../../../shared/time.ts';

/** A manual clock: a wait ends as soon as nothing else is pending, and advances the time. */
function handClock(): Clock {
  let now = 0;
  return {
    now: () => now,
    monotonic: () => now,
    after(milliseconds, call) {
      const timer = setImmediate(() => {
        now += milliseconds;
        call();
      });
      return () => clearImmediate(timer);
    },
  };
}

const endpoint = 'tunnel.east.test:7470';

test('a name resolves to all of its addresses, and a rotated order is no change', async () => {
  const answers: (string[] | Error)[] = [
    new Error('SERVFAIL'),
    ['192.0.2.1', '2001:db8::1'],
    ['2001:db8::1', '192.0.2.1'],
    new Error('SERVFAIL'),
    ['192.0.2.2'],
  ];
  const stop = new AbortController();
  const seen: (readonly string[])[] = [];
  const resolver = createEndpointResolver({
    resolve: () => {
      const answer = answers.shift();
      if (answers.length === 0) queueMicrotask(() => stop.abort());
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer ?? []);
    },
    onChange: () => seen.push(resolver.get(endpoint)),
    log: silentLog,
    clock: handClock(),
  });
  assert.equal(resolver.get(endpoint), []);
  await resolver.run(stop.signal);
  assert.equal(seen, [['192.0.2.1:7470', '[2001:db8::1]:7470'], ['192.0.2.2:7470']]);
});

test('an address resolves to itself without a lookup', () => {
  const resolver = createEndpointResolver({
    resolve: () => Promise.reject(new Error('asked')),
    onChange: () => undefined,
    log: silentLog,
  });
  assert.equal(resolver.get('[2001:db8::1]:7470'), ['[2001:db8::1]:7470']);
});

test('the next address of a name is tried after three handshakes without an answer, and the one that works stays', () => {
  const choice = new EndpointChoice();
  const dead = '192.0.2.1:7470';
  const alive = '192.0.2.2:7470';
  const pick = (established: boolean, now: number, endpoints = [dead, alive]) =>
    choice.pick('key', endpoints, established, now);
  assert.is(pick(false, 0), dead);
  assert.is(pick(false, 14_000), dead);
  assert.is(pick(false, 15_000), alive);
  assert.is(pick(true, 100_000), alive);
  assert.is(pick(true, 101_000, [dead, alive]), alive);
});

test.run();
