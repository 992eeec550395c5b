import { createServer } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { canConnect, policyFinding } from '../../../daemon/tenant/policy-probe.ts';

test('LocalCluster - by which probes passed - reports NetworkPoliciesEnforced', () => {
  const tried = { policy: true, pod: true, allowed: true, forbidden: false };
  const cases: [string, Parameters<typeof policyFinding>[0], string, RegExp][] = [
    ['the forbidden way is closed, the other one open', tried, 'True', /was blocked/],
    ['the forbidden way is open', { ...tried, forbidden: true }, 'False', /succeeded/],
    [
      'open though the other one is busy',
      { ...tried, allowed: false, forbidden: true },
      'False',
      /succeeded/,
    ],
    ['neither: no answer', { ...tried, allowed: false }, 'Unknown', /cannot be reached/],
    ['no pod', { ...tried, pod: false }, 'Unknown', /no pod of the API gateway/],
    [
      'no policy: what is open need not be',
      { ...tried, policy: false, forbidden: true },
      'Unknown',
      /upgrade the chart/,
    ],
  ];
  for (const [what, trial, status, said] of cases) {
    const finding = policyFinding(trial);
    assert.is(finding.status, status, what);
    assert.match(finding.message, said, what);
  }
});

test('a connection succeeds, is refused, or times out', async () => {
  const server = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  assert.is(await canConnect('127.0.0.1', port, 2000), true);
  await new Promise((resolve) => server.close(resolve));
  assert.is(await canConnect('127.0.0.1', port, 2000), false);
  // TEST-NET-1 (RFC 5737): no host answers.
  assert.is(await canConnect('192.0.2.1', 7444, 100), false);
});

test.run();
