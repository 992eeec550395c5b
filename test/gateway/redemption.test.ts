import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { completeGrant, tokenName, tokenState } from '../../shared/token-issue.ts';
import { evaluatePreview, evaluateRedemption, refusalTime } from '../../gateway/peerings/redemption.ts';
import { defaultGrant } from '../../shared/api/grant.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { PeeringToken } from '../../shared/api/peerings.ts';
import { hashSecret } from '../../shared/trust/digest.ts';

const now = Date.parse('2026-11-23T12:00:00Z');
const secretHash = hashSecret('secret');
const redeemer = { clusterID: 'consumer', publicKey: 'key', peering: 'default' };
const at = '2026-11-23T11:59:00Z';

function token(spec: Partial<PeeringToken['spec']> = {}, more: Partial<PeeringToken> = {}): PeeringToken {
  return {
    apiVersion,
    kind: 'PeeringToken',
    metadata: { name: tokenName(secretHash) },
    spec: { secretHash, expiresAt: '2026-11-23T12:15:00Z', grant: defaultGrant, ...spec },
    ...more,
  };
}
const deleted = { metadata: { name: 'x', deletionTimestamp: at } };
const spentBy = (changes: Partial<typeof redeemer>) => ({
  status: { redeemedBy: { ...redeemer, at, ...changes } },
});

for (const [what, given, registeredKey, expected] of [
  ['a new one', token(), undefined, 'Spend'],
  ['a new one of a cluster that is known', token(), 'key', 'Spend'],
  ['one for this cluster', token({ consumer: 'consumer' }), undefined, 'Spend'],
  ['one that it has spent', token({}, spentBy({})), 'key', 'Again'],
  ['none', undefined, undefined, 'Unknown'],
  ['another whose name is the same', token({ secretHash: hashSecret('other') }), undefined, 'Unknown'],
  ['a revoked one', token({ revoked: true }), undefined, 'Revoked'],
  ['a revoked one that it has spent', token({ revoked: true }, spentBy({})), 'key', 'Revoked'],
  ['one that is being deleted', token({}, deleted), undefined, 'Revoked'],
  ['one that expires now', token({ expiresAt: '2026-11-23T12:00:00Z' }), undefined, 'Expired'],
  ['one that it has spent and that has expired', token({ expiresAt: at }, spentBy({})), 'key', 'Expired'],
  ['one whose expiry is no time', token({ expiresAt: 'soon' }), undefined, 'Expired'],
  ['one for another cluster', token({ consumer: 'other' }), undefined, 'ForAnotherCluster'],
  ['one spent by another key', token({}, spentBy({ publicKey: 'other' })), undefined, 'SpentByAnother'],
  ['one spent by another cluster', token({}, spentBy({ clusterID: 'other' })), undefined, 'SpentByAnother'],
  ['one spent for another peering', token({}, spentBy({ peering: 'other' })), 'key', 'SpentByAnother'],
  ['one, under an ID that has another key', token(), 'other', 'KeyDiffers'],
] as const)
  test(`a redemption with ${what} is ${expected}`, () => {
    const verdict = evaluateRedemption(given, secretHash, redeemer, registeredKey, now);
    assert.is(verdict.verdict === 'Refuse' ? verdict.reason : verdict.verdict, expected);
  });

test('a preview needs a token that could still be redeemed', () => {
  for (const [given, expected] of [
    [token(), undefined],
    [token({ consumer: 'consumer' }), undefined],
    [token({}, spentBy({})), 'SpentByAnother'],
    [token({ consumer: 'other' }), 'ForAnotherCluster'],
    [token({ revoked: true }), 'Revoked'],
    [token({ expiresAt: at }), 'Expired'],
    [undefined, 'Unknown'],
  ] as const)
    assert.is(evaluatePreview(given, secretHash, 'consumer', now), expected);
});

test('refusals are delayed to a time grid', () => {
  for (const [elapsed, time] of [
    [0, 250],
    [1, 250],
    [250, 250],
    [251, 500],
    [999, 1000],
  ] as const)
    assert.is(refusalTime(elapsed, 250), time);
});

test('lists show the state of a token', () => {
  assert.is(tokenState(token(), now), 'Redeemable');
  assert.is(tokenState(token({}, spentBy({})), now), 'Redeemed');
  assert.is(tokenState(token({ expiresAt: at }), now), 'Expired');
  assert.is(tokenState(token({ revoked: true }, spentBy({})), now), 'Revoked');
});

test('a grant gets its defaults, and its quantities are bounded', () => {
  assert.equal(completeGrant(undefined), { grant: defaultGrant, errors: [] });
  assert.equal(completeGrant({ cpu: '500m', memory: undefined }).grant, { ...defaultGrant, cpu: '500m' });
  for (const [grant, field] of [
    [{ cpu: '0' }, 'grant.cpu'],
    [{ cpu: '1000001' }, 'grant.cpu'],
    [{ memory: '1048575' }, 'grant.memory'],
    [{ memory: '11Pi' }, 'grant.memory'],
    [{ ephemeralStorage: '0' }, 'grant.ephemeralStorage'],
    [{ enforcement: 'soft' }, 'grant.enforcement'],
    [{ extendedResources: [{ name: 'gpu', quantity: '1' }] }, 'grant.extendedResources.0.name'],
    [{ extendedResources: [{ name: 'a.example/gpu', quantity: '1.5' }] }, 'grant.extendedResources.0'],
    [{ extendedResources: [{ name: 'a.kubernetes.io/gpu', quantity: '1' }] }, 'grant.extendedResources.0'],
    [
      {
        extendedResources: [
          { name: 'a.example/gpu', quantity: '1' },
          { name: 'a.example/gpu', quantity: '2' },
        ],
      },
      'grant.extendedResources',
    ],
  ] as const)
    assert.equal(
      completeGrant(grant).errors.map((error) => error.field),
      [field],
    );
  for (const grant of [
    { cpu: '1m' },
    { cpu: '1M' },
    { memory: '1Mi' },
    { memory: '10Pi' },
    { extendedResources: [{ name: 'hugepages-1Gi', quantity: '4Gi' }] },
    { enforcement: 'Hard', defaultLimits: { cpu: '1' } },
  ])
    assert.equal(completeGrant(grant).errors, []);
});

test.run();
