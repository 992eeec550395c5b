/** Evaluation of peering tokens, as a table. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { evaluateToken, keptMilliseconds } from '../../../daemon/tenant/tokens.ts';
import type { PeeringToken } from '../../../shared/api/peerings.ts';

const tokens = suite('peering tokens');
const now = Date.parse('2026-01-01T00:00:00Z');
const hour = 3_600_000;
const grant = { cpu: '1', memory: '1Gi', pods: 1, podSecurity: 'baseline' as const };

const token = (spec: Partial<PeeringToken['spec']>, redeemed = false): PeeringToken => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'PeeringToken',
  metadata: { name: 't' },
  spec: { secretHash: '', expiresAt: new Date(now + hour).toISOString(), grant, ...spec },
  ...(redeemed && {
    status: { redeemedBy: { clusterID: 'c', publicKey: 'k', peering: 'default', at: 'then' } },
  }),
});
const expired = now + hour;
const cases: { given: string; token: PeeringToken; at: number; reason: string; deleted: boolean }[] = [
  { given: 'a new token', token: token({}), at: now, reason: 'Redeemable', deleted: false },
  { given: 'a redeemed token', token: token({}, true), at: now, reason: 'Redeemed', deleted: false },
  { given: 'a revoked token', token: token({ revoked: true }), at: now, reason: 'Revoked', deleted: false },
  { given: 'an expired token', token: token({}), at: expired, reason: 'Expired', deleted: false },
  {
    given: 'a token long after its expiry',
    token: token({}),
    at: expired + keptMilliseconds,
    reason: 'Expired',
    deleted: true,
  },
  {
    given: 'a redeemed token long after its expiry',
    token: token({}, true),
    at: expired + keptMilliseconds,
    reason: 'Redeemed',
    deleted: true,
  },
];
for (const { given, token: object, at, reason, deleted } of cases) {
  tokens(`${given} is ${reason}${deleted ? ', and deleted' : ''}`, () => {
    const evaluated = evaluateToken(object, at);
    assert.is(evaluated.finding.reason, reason);
    assert.is(evaluated.finding.status, reason === 'Redeemable' ? 'True' : 'False');
    assert.is(evaluated.sweep, deleted);
  });
}
tokens.run();
