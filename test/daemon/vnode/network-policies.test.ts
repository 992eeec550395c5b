import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { policiesFinding, type PoliciesThere } from '../../../daemon/vnode/network-policies.ts';
import type { Condition } from '../../../shared/api/meta.ts';
import { condition as conditionWith } from '../../support/objects.ts';

const condition = (type: string, status: Condition['status'], reason = 'R', message = '') =>
  conditionWith(type, status, { reason, message });
const enforced = (status: Condition['status']) => condition('NetworkPoliciesEnforced', status);
const carried = (names: string[], status: Condition['status'] = 'True', reason?: string, message?: string) =>
  new Map(names.map((name) => [name, condition('Carried', status, reason, message)]));

const held: PoliciesThere = { peering: 'oak', enforced: enforced('True'), carried: carried(['deny', 'web']) };
const toothless: PoliciesThere = { ...held, peering: 'elm', enforced: enforced('False') };
const untried: PoliciesThere = { ...held, peering: 'fir', enforced: undefined };
const refused: PoliciesThere = {
  ...held,
  peering: 'ash',
  carried: carried(['deny', 'web'], 'False', 'NotAdmitted', 'the API server does not take it'),
};
const unread: PoliciesThere = { peering: 'yew', enforced: enforced('True') };
const both = ['web', 'deny'];

test('the report on a namespace’s policies matches their effect', () => {
  const cases: [
    what: string,
    found: ReturnType<typeof policiesFinding>,
    status: Condition['status'],
    reason: string,
    said: RegExp[],
  ][] = [
    [
      'none: nothing to hold',
      policiesFinding([], enforced('False'), [held]),
      'True',
      'NoPolicies',
      [/no network policies/],
    ],
    [
      'carried and enforced',
      policiesFinding(both, enforced('True'), [held]),
      'True',
      'Held',
      [/^This cluster’s CNI enforces .* ipBlock/, /At oak they are carried and enforced\.$/],
    ],
    [
      'a CNI here that enforces none',
      policiesFinding(both, enforced('False'), [held]),
      'False',
      'NotEnforced',
      [/^This cluster’s CNI does not enforce network policies/, /At oak they are carried and enforced\.$/],
    ],
    [
      'a CNI there that enforces none',
      policiesFinding(both, enforced('True'), [held, toothless]),
      'False',
      'NotEnforced',
      [
        /At elm they are carried, but that cluster’s CNI does not enforce them\. At oak they are carried and enforced\.$/,
      ],
    ],
    [
      'not known there',
      policiesFinding(both, enforced('True'), [held, untried]),
      'Unknown',
      'NotTried',
      [/At fir they are carried; it is unknown whether that cluster’s CNI enforces them\./],
    ],
    [
      'not known here',
      policiesFinding(both, undefined, [held]),
      'Unknown',
      'NotTried',
      [/It is unknown whether .*; if it does/],
    ],
    [
      'refused',
      policiesFinding(both, enforced('True'), [refused]),
      'False',
      'NotCarried',
      [/At ash they are not all carried \(deny, web: the API server does not take it\)/],
    ],
    [
      'one that is not there yet',
      policiesFinding([...both, 'new'], enforced('True'), [held]),
      'False',
      'NotCarried',
      [/At oak they are not all carried \(new: the provider has not processed them yet\)/],
    ],
    [
      'a provider that has not been read',
      policiesFinding(both, enforced('True'), [unread]),
      'False',
      'NotCarried',
      [/At yew they may not be carried/],
    ],
    [
      'in part',
      policiesFinding(['web'], enforced('True'), [
        { ...held, carried: carried(['web'], 'True', 'CarriedInPart') },
      ]),
      'True',
      'Held',
      [/carried and enforced \(web except what that provider blocks\)/],
    ],
    [
      'the same of several',
      policiesFinding(both, enforced('True'), [toothless, { ...toothless, peering: 'ash' }]),
      'False',
      'NotEnforced',
      [/At ash, elm they are carried, but/],
    ],
  ];
  for (const [what, found, status, reason, said] of cases) {
    assert.is(found.status, status, what);
    assert.is(found.reason, reason, what);
    for (const pattern of said) assert.match(found.message, pattern, what);
  }
});

test.run();
