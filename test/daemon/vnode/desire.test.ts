/** The desired state of a peering from both sides, and the message of a drain. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { desireOf, podsToLeave, schedulableFinding } from '../../../daemon/vnode/desire.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { pod as podWith } from '../../support/objects.ts';

const test = suite('cordon, drain and activate');
type Desired = OutgoingPeering['spec']['desired'];
const peering = (desired: Desired, providerDesired?: Desired): OutgoingPeering => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'OutgoingPeering',
  metadata: { name: 'oak' },
  spec: { remoteCluster: 'oak', peering: 'default', nodeName: 'hawser-oak', desired },
  status: { ...(providerDesired && { providerDesired }) },
});
const pod = (name: string, { phase, owner }: { phase?: string; owner?: string } = {}) =>
  podWith({
    metadata: {
      name,
      ...(owner && {
        ownerReferences: [{ apiVersion: 'apps/v1', kind: owner, name: 'o', uid: 'u', controller: true }],
      }),
    },
    ...(phase && { status: { phase } }),
  });

const table: [own: Desired, theirs: Desired | undefined, desired: Desired, by: string][] = [
  ['Active', undefined, 'Active', 'Consumer'],
  ['Active', 'Active', 'Active', 'Consumer'],
  ['Active', 'Cordoned', 'Cordoned', 'Provider'],
  ['Active', 'Drained', 'Drained', 'Provider'],
  ['Cordoned', 'Active', 'Cordoned', 'Consumer'],
  ['Cordoned', 'Cordoned', 'Cordoned', 'Consumer'],
  ['Cordoned', 'Drained', 'Drained', 'Provider'],
  ['Drained', 'Cordoned', 'Drained', 'Consumer'],
  ['Drained', undefined, 'Drained', 'Consumer'],
];
for (const [own, theirs, desired, by] of table) {
  test(`${own} here, ${theirs ?? 'nothing said'} there: ${desired}`, () => {
    assert.equal(desireOf(peering(own, theirs)), { desired, by });
  });
}

test('finished pods and those of DaemonSets stay', () => {
  const leaving = podsToLeave([
    pod('web', { owner: 'ReplicaSet', phase: 'Running' }),
    pod('alone'),
    pod('done', { phase: 'Succeeded' }),
    pod('broken', { phase: 'Failed' }),
    pod('agent', { owner: 'DaemonSet', phase: 'Running' }),
  ]);
  assert.equal(
    leaving.map(({ metadata }) => metadata.name),
    ['web', 'alone'],
  );
});

test('a drain’s message names who requested it, the remaining pods, and the blocked ones', () => {
  const none = new Set<string>();
  const active = schedulableFinding(peering('Active'), [], none);
  assert.is(active.status, 'True');
  const cordoned = schedulableFinding(peering('Active', 'Cordoned'), [], none);
  assert.is(`${cordoned.status} ${cordoned.reason}`, 'False Cordoned');
  assert.match(cordoned.message, 'cordoned by the provider oak');
  const pods = ['a', 'b', 'c', 'd'].map((name) => pod(name));
  const draining = schedulableFinding(peering('Drained', 'Cordoned'), pods, new Set(['shop/d', 'shop/gone']));
  assert.is(draining.reason, 'Draining');
  assert.is(
    draining.message,
    'being drained by this cluster: 4 pods are still on node hawser-oak (shop/a, shop/b, shop/c, …); blocked by disruption budgets (kubectl get pdb -A): 1 (shop/d)',
  );
  assert.is(schedulableFinding(peering('Drained'), [], none).reason, 'Drained');
});

test.run();
