import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { beyondBound, noticedText, type Calls, type Noticed } from './noticed.ts';
import { report, rowText, type Row } from './table.ts';

const calls = (more: Partial<Calls> = {}): Calls => ({
  calls: 200,
  failed: 0,
  errors: [],
  worstMilliseconds: 40,
  ...more,
});
const noticed = (more: Partial<Noticed> = {}): Noticed => ({
  datagrams: calls(),
  requests: calls(),
  api: calls(),
  gateway: calls(),
  ...more,
});
const failed = (count: number) => calls({ failed: count, errors: ['no answer'] });

test('effects on the neighbour within and beyond the bound', () => {
  const table: [what: string, noticed: Noticed, problem: RegExp | undefined][] = [
    ['nothing', noticed(), undefined],
    ['two of 200 datagrams', noticed({ datagrams: failed(2) }), undefined],
    ['three of 200 datagrams', noticed({ datagrams: failed(3) }), /^3 of 200 datagrams failed: no answer$/],
    ['one request', noticed({ requests: failed(1) }), /^1 of 200 requests failed/],
    ['one call', noticed({ api: failed(1) }), /^1 of 200 calls of the API server failed/],
    ['one call of the gateway', noticed({ gateway: failed(1) }), /^1 of 200 calls of the API gateway/],
    ['a slow call', noticed({ api: calls({ worstMilliseconds: 5001 }) }), /took 5001 ms$/],
    ['traffic that ended', noticed({ datagrams: calls({ calls: 0 }) }), /^none of the datagrams was made$/],
  ];
  for (const [what, given, problem] of table) {
    const problems = beyondBound(given);
    if (problem === undefined) assert.equal(problems, [], what);
    else {
      assert.is(problems.length, 1, what);
      assert.match(problems[0] ?? '', problem, what);
    }
  }
});

test('a row never reports an attack as stopped that was not', () => {
  const row: Row = {
    attack: 'a try',
    seconds: 1,
    outcome: undefined,
    noticed: noticed(),
    problems: ['not stopped: it was served'],
  };
  for (const text of [rowText(row), report([row])]) {
    assert.not.match(text, /stopped by|ok /);
    assert.match(text, /FAIL|NOT AS IT MUST BE/);
  }
  const stopped: Row = { ...row, outcome: { stopped: 'a policy', seenAt: 'a metric' }, problems: [] };
  assert.match(rowText(stopped), /^ok {3}a try .*\n +stopped by {2}a policy\n +seen at {5}a metric\n/);
  assert.match(report([stopped]), /a try {2,}a policy {2,}a metric {2,}0\/200 lost, HTTP ≤ 40 ms/);
  const beyond: Row = { ...stopped, problems: ['3 of 200 datagrams failed: no answer'] };
  assert.match(report([beyond]), /NOT AS IT MUST BE/);
  assert.match(noticedText(noticed({ datagrams: failed(3) })), /^3\/200 lost/);
});

test.run();
