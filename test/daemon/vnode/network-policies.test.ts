import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { policiesFinding } from '../../../daemon/vnode/network-policies.ts';
import type { Condition } from '../../../shared/api/meta.ts';

const enforced = (status: Condition['status']): Condition => ({
  type: 'NetworkPoliciesEnforced',
  status,
  reason: 'R',
  message: '',
  lastTransitionTime: '2026-01-01T00:00:00Z',
});

test('what is said of a namespace’s policies is what holds', () => {
  const twins = [
    { peering: 'oak', enforced: enforced('True') },
    { peering: 'elm', enforced: enforced('False') },
    { peering: 'fir' },
  ];
  const cases: [string, ReturnType<typeof policiesFinding>, string, RegExp[]][] = [
    [
      'none: nothing to hold',
      policiesFinding([], enforced('False'), twins),
      'NoPolicies',
      [/no network policies/],
    ],
    [
      'a CNI that enforces none',
      policiesFinding(['deny'], enforced('False'), []),
      'NotEnforced',
      [/^deny does not hold for pods at providers, nor for any here: this cluster’s CNI enforces no/],
    ],
    [
      'a CNI that enforces them, providers of both sorts',
      policiesFinding(['web', 'deny'], enforced('True'), twins),
      'NotCarried',
      [
        /^deny, web do not hold/,
        /At elm, fir, oak every pod/,
        /CNI of elm enforces none/,
        /Here this cluster’s CNI enforces them:/,
      ],
    ],
    [
      'not known',
      policiesFinding(['deny'], undefined, twins.slice(0, 1)),
      'NotCarried',
      [/At oak/, /is not known/, /ipBlock/],
    ],
    [
      'many',
      policiesFinding(['a', 'b', 'c', 'd', 'e', 'f', 'g'], enforced('True'), []),
      'NotCarried',
      [/^a, b, c, d, e and 2 more do not hold/],
    ],
  ];
  for (const [what, finding, reason, said] of cases) {
    assert.is(finding.reason, reason, what);
    assert.is(finding.status, reason === 'NoPolicies' ? 'True' : 'False', what);
    for (const pattern of said) assert.match(finding.message, pattern, what);
  }
  assert.not.match(policiesFinding(['deny'], enforced('True'), twins.slice(0, 1)).message, /enforces none/);
});

test.run();
