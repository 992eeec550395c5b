import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createRefusals, recentMilliseconds } from '../../../daemon/tenant/refusals.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';

const peering = {
  metadata: { name: 'elm', uid: 'u' },
  spec: { remoteCluster: 'elm' },
} as unknown as IncomingPeering;

/** A clock that the test advances. */
function turned() {
  let now = Date.UTC(2026, 0, 1);
  const waiting: { at: number; call: () => void }[] = [];
  return {
    clock: {
      now: () => now,
      monotonic: () => now,
      after(milliseconds: number, call: () => void) {
        waiting.push({ at: now + milliseconds, call });
        return () => undefined;
      },
    },
    pass: (milliseconds: number) => {
      now += milliseconds;
      for (const each of waiting.splice(0)) {
        if (each.at <= now) each.call();
        else waiting.push(each);
      }
    },
  };
}

test('a refused request - repeated or recent - is counted once and reported at most every five seconds', () => {
  const { clock, pass } = turned();
  const counted: string[] = [];
  const metrics = {
    reconciled: () => undefined,
    queued: () => undefined,
    refused: (remote: string, what: string) => void counted.push(`${remote}/${what}`),
  };
  const refusals = createRefusals(clock, metrics);
  const queued: string[] = [];
  refusals.source.subscribe((key) => queued.push(key));
  assert.is(refusals.finding(peering).finding.status, 'True');

  refusals.note(peering, 'Pod', 'one', 'pod a: hostPath');
  refusals.note(peering, 'Pod', 'one', 'pod a: hostPath');
  pass(0);
  assert.equal([counted, queued], [['elm/Pod'], ['elm']]);
  const first = refusals.finding(peering);
  assert.is(first.finding.status, 'False');
  assert.match(first.finding.message, /^requests of elm refused: 1, the last at 2026-01-01T00:00:00Z: pod a/);
  assert.is(first.againAfterMilliseconds, recentMilliseconds);

  for (let index = 0; index < 100; index++) refusals.note(peering, 'Twin', `t${index}`, 'kube-system');
  pass(10);
  assert.is(queued.length, 1);
  assert.match(refusals.finding(peering).finding.message, /refused: 1,/);
  pass(5_000);
  assert.is(queued.length, 2);
  assert.match(refusals.finding(peering).finding.message, /refused: 101,.*kube-system/);

  pass(recentMilliseconds);
  assert.is(refusals.finding(peering).finding.status, 'True');
});

test('a pod without room is counted, but is not a violation', () => {
  const { clock, pass } = turned();
  const refusals = createRefusals(clock, undefined);
  refusals.note(peering, 'Room', 'one', 'no room');
  pass(10_000);
  assert.is(refusals.finding(peering).finding.status, 'True');
});

test.run();
