/** Plans and conditions of OutgoingPeerings. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  identityFinding,
  identityNeed,
  outgoingFindings,
  phasesOf,
  storedIdentity,
} from '../../../daemon/peering/outgoing-plan.ts';
import { removalStep } from '../../../daemon/peering/removal.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { condition } from '../../support/objects.ts';

const identities = suite('identities of a consumer');
const now = Date.parse('2026-01-01T00:00:00Z');
const hour = 3_600_000;
const response = {
  clusterID: 'p',
  publicKey: 'k',
  tenantNamespace: 't',
  grant: { cpu: '1', memory: '1Gi', pods: 1, podSecurity: 'baseline' as const },
  identity: {
    apiServerURL: 'https://x',
    caBundle: 'c',
    token: 's',
    expiresAt: new Date(now + hour).toISOString(),
  },
  version: '1',
  features: [],
};
const held = storedIdentity(response, now);
identities('renewal is due at two thirds of the lifetime', () => {
  assert.is(held.renewAfter, new Date(now + (hour * 2) / 3).toISOString());
  assert.is(identityNeed(undefined, now), 'Missing');
  assert.is(identityNeed(held, now), undefined);
  assert.is(identityNeed(held, now + (hour * 2) / 3 - 1), undefined);
  assert.is(identityNeed(held, now + (hour * 2) / 3), 'RenewalDue');
  assert.is(identityNeed(held, now + hour - 30_000), 'Expired');
  assert.is(identityNeed({ ...held, expiresAt: 'nonsense' }, now), 'Expired');
});
identities('a failed renewal is reported, and IdentityValid stays True until the expiry', () => {
  const problem = { reason: 'ProviderUnreachable', message: 'no answer' };
  assert.is(identityFinding('p', { held, problem }, now).status, 'True');
  assert.match(identityFinding('p', { held, problem }, now).message, /not renewed yet: no answer/);
  assert.is(identityFinding('p', { held, problem }, now + hour).status, 'False');
  assert.is(identityFinding('p', { held: undefined, problem }, now).reason, 'ProviderUnreachable');
});
const peering = (more: Partial<OutgoingPeering> = {}): OutgoingPeering => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'OutgoingPeering',
  metadata: { name: 'p', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { remoteCluster: 'p', peering: 'default', nodeName: 'hawser-p', desired: 'Active' },
  ...more,
});
identities('Ready names the first missing condition', () => {
  const good = identityFinding('p', { held, problem: undefined }, now);
  const [, , waiting] = outgoingFindings(peering(), good, { done: false, message: 'waiting' });
  assert.is(waiting?.message, 'waiting');
  const [, , noNode] = outgoingFindings(peering(), good, { done: true, message: 'done' });
  assert.is(noNode?.reason, 'WaitingForNode');
  const complete = peering({ status: { conditions: [condition('NodeReady', 'True')] } });
  const findings = outgoingFindings(complete, good, { done: true, message: 'done' });
  assert.is(findings[2]?.status, 'True');
  assert.equal(
    phasesOf(complete, findings, now).map(({ name }) => name),
    ['Requested', 'IdentityValid', 'Negotiated', 'NodeReady', 'Ready'],
  );
});
identities('a removal waits for the node, for a bounded time', () => {
  const going = (finalizers: string[]) =>
    peering({ metadata: { name: 'p', finalizers, deletionTimestamp: '2026-01-01T00:00:00Z' } });
  assert.equal(removalStep(going([]), now), { step: 'None' });
  assert.equal(removalStep(going(['hawser.dev/peering']), now), { step: 'Remove' });
  const both = going(['hawser.dev/peering', 'hawser.dev/vnode']);
  assert.equal(removalStep(both, now), { step: 'WaitForNode', milliseconds: 10_000 });
  assert.equal(removalStep(both, now + 10_000), { step: 'Remove' });
});
identities.run();
