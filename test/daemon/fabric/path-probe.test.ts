import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PathProbe } from '../../../daemon/fabric/node/path-probe.ts';
import { decodeProbe, encodeProbe, probeLength } from '../../../daemon/fabric/node/probe-messages.ts';

const target = {
  remoteCluster: 'east',
  address: '10.128.0.1',
  source: '100.64.16.17',
  expected: '10.9.0.17',
};

/** Runs a probe for a number of milliseconds against a simulated path with a delay, or without answers. */
function drive(
  probe: PathProbe,
  from: number,
  until: number,
  answer: (requestedAt: number) => { after: number; source: string } | undefined,
): { asked: number[]; turns: [number, boolean][] } {
  const asked: number[] = [];
  const turns: [number, boolean][] = [];
  const coming: { at: number; stamp: string; source: string }[] = [];
  let verified = probe.verdict.verified;
  let stamps = 0;
  for (let now = from; now < until; now += 10) {
    for (const each of coming.filter(({ at }) => at <= now && at > now - 10))
      probe.answer(each.stamp, each.source, now, now);
    if (probe.due <= now) {
      const stamp = probe.poll(
        now,
        () => `stamp-${now}-${stamps++}`,
        () => 0.5,
      );
      if (stamp !== undefined) {
        asked.push(now);
        const reply = answer(now);
        if (reply) coming.push({ at: now + reply.after, stamp, source: reply.source });
      }
    }
    if (probe.verdict.verified !== verified) turns.push([now, (verified = probe.verdict.verified)]);
  }
  return { asked, turns };
}

test('probes are frequent until the first answer, then rare', () => {
  const probe = new PathProbe(target, 0);
  assert.not.ok(probe.verdict.verified);
  const { asked, turns } = drive(probe, 0, 30_000, (at) =>
    at < 1_000 ? undefined : { after: 40, source: '10.9.0.17' },
  );
  assert.is(turns.length, 1);
  assert.ok((turns[0]?.[0] ?? 0) <= 1_300);
  assert.is(probe.verdict.roundTripMilliseconds, 40);
  assert.ok(asked.length < 20, `${asked.length} questions in 30 s`);
});

test('losses among the last probes are counted', () => {
  const probe = new PathProbe(target, -10_000);
  assert.equal(probe.verdict.questions, { sent: 0, lost: 0 });
  // Until the path exists all probes are lost; later losses are the path's own.
  drive(probe, -10_000, 0, () => undefined);
  assert.ok(probe.verdict.questions.lost > 3);
  drive(probe, 0, 20_000, () => ({ after: 40, source: '10.9.0.17' }));
  assert.is(probe.verdict.questions.lost, 0);
  const before = probe.verdict.questions.sent;
  drive(probe, 20_000, 30_000, () => undefined);
  const { sent, lost } = probe.verdict.questions;
  assert.ok(lost >= 3, `${lost} lost`);
  assert.is(sent - before, lost);
  drive(probe, 30_000, 900_000, () => ({ after: 40, source: '10.9.0.17' }));
  assert.equal(probe.verdict.questions, { sent: 64, lost: 0 });
});

test('a broken path is detected within 8 s, and its recovery within 2 s', () => {
  const probe = new PathProbe(target, 0);
  const good = () => ({ after: 40, source: '10.9.0.17' });
  drive(probe, 0, 20_000, good);
  const broken = drive(probe, 20_000, 60_000, () => undefined);
  assert.is(broken.turns.length, 1);
  assert.ok((broken.turns[0]?.[0] ?? Infinity) <= 28_000, String(broken.turns));
  assert.match(probe.verdict.message, /no answer from east .* since 1970/);
  const back = drive(probe, 60_000, 70_000, good);
  assert.is(back.turns.length, 1);
  assert.ok((back.turns[0]?.[0] ?? Infinity) <= 62_000);
});

test('a single lost probe does not change the verdict', () => {
  const probe = new PathProbe(target, 0);
  drive(probe, 0, 10_000, () => ({ after: 40, source: '10.9.0.17' }));
  let lost = 0;
  const { turns } = drive(probe, 10_000, 60_000, () =>
    lost++ % 3 === 0 ? undefined : { after: 40, source: '10.9.0.17' },
  );
  assert.equal(turns, []);
});

test('an answer that saw another source does not verify the path until both sides agree', () => {
  const probe = new PathProbe(target, 0);
  drive(probe, 0, 5_000, () => ({ after: 40, source: '10.7.0.17' }));
  assert.not.ok(probe.verdict.verified);
  assert.match(probe.verdict.message, /sees this node as 10\.7\.0\.17 instead of 10\.9\.0\.17/);
  probe.expect('10.7.0.17');
  assert.ok(probe.verdict.verified);
  probe.expect('10.8.0.17');
  assert.not.ok(probe.verdict.verified);
  probe.expect(undefined);
  assert.ok(probe.verdict.verified, 'while the remote has not told, any source is right');
});

test('late, repeated and forged answers are ignored', () => {
  const probe = new PathProbe(target, 0);
  const stamp =
    probe.poll(
      0,
      () => 'first',
      () => 0.5,
    ) ?? '';
  probe.answer('invented', '10.9.0.17', 10, 10);
  assert.not.ok(probe.verdict.verified);
  probe.poll(
    2_000,
    () => 'second',
    () => 0.5,
  );
  probe.answer(stamp, '10.9.0.17', 2_010, 2_010);
  assert.not.ok(probe.verdict.verified, 'too late');
  probe.answer('second', '10.9.0.17', 2_020, 2_020);
  assert.ok(probe.verdict.verified);
  const { answeredAt } = probe.verdict;
  probe.answer('second', '1.2.3.4', 3_000, 3_000);
  assert.is(probe.verdict.answeredAt, answeredAt);
});

test('malformed probe messages are rejected', () => {
  const stamp = '00112233445566778899aabbccddeeff';
  const question = encodeProbe({ type: 'question', stamp });
  const answer = encodeProbe({ type: 'answer', stamp, source: 'fd00::1' });
  assert.is(question.length, probeLength);
  assert.is(answer.length, probeLength, 'an answer is never larger than its question');
  assert.equal(decodeProbe(question), { type: 'question', stamp });
  assert.equal(decodeProbe(answer), { type: 'answer', stamp, source: 'fd00::1' });
  assert.is(decodeProbe(question.subarray(1)), undefined);
  assert.is(decodeProbe(Buffer.alloc(0)), undefined);
  assert.is(decodeProbe(Buffer.alloc(probeLength)), undefined);
  assert.is(decodeProbe(Buffer.concat([question, Buffer.alloc(1)])), undefined);
  for (let at = 0; at < probeLength; at++) {
    for (const value of [0, 1, 2, 46, 255]) {
      const changed = Buffer.from(answer);
      changed[at] = value;
      const read = decodeProbe(changed);
      if (read?.type === 'answer') assert.match(read.source, /^[0-9a-f.:]+$/);
    }
  }
});

test.run();
