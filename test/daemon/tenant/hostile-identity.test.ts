/** How soon the identity of a consumer that is put out is worth nothing, and what is left of it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kind } from '../../../daemon/kube/index.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { told } from '../../support/told.ts';
import { eventually } from '../clusters.ts';
import {
  admin,
  alice,
  apiVersion,
  ask,
  begin,
  end,
  group,
  identifyAnew,
  mallory,
  signal,
} from './hostile-world.ts';

const test = suite('a hostile consumer: put out');

test.before(told(begin));
test.after(end);

/** Asks again and again until the API server refuses; milliseconds since `begun`, and how it was said. */
async function firstRefusal(begun: number): Promise<{ milliseconds: number; status: number }> {
  for (const until = performance.now() + 20_000; performance.now() < until;) {
    const [{ status }, tenant] = await Promise.all([
      ask('GET', group(apiVersion, mallory.twin, 'shadowpods?limit=1')),
      ask('GET', group(apiVersion, mallory.tenant, 'twinnamespaces?limit=1')),
    ]);
    const refusedBoth = [status, tenant.status].every((code) => code === 401 || code === 403);
    if (refusedBoth) return { milliseconds: Math.round(performance.now() - begun), status };
  }
  throw new Error('the identity is still let in');
}

test('a revoked identity is refused at once, whatever the API server still remembers of its token', async () => {
  assert.is((await ask('GET', group(apiVersion, mallory.twin, 'shadowpods?limit=1'))).status, 200);
  const begun = performance.now();
  await admin.delete({ kind: kind.secret, namespace: mallory.tenant, name: 'hawser-identity' }, {}, signal);
  const { milliseconds, status } = await firstRefusal(begun);
  console.log(`\n  identity Secret deleted → first refused API call after ${milliseconds} ms (${status})`);
  // Its token alone would be believed for ten seconds more.
  assert.ok(milliseconds < 5000, `${milliseconds} ms`);
  const revoked = await eventually('it is said', async () => {
    const found = await admin.get({ kind: kind.incomingPeering, name: mallory.id }, signal);
    return findCondition(found?.status?.conditions, 'Revoked')?.status === 'True' && found;
  });
  // Another grant is no forgiveness.
  const ref = { kind: kind.incomingPeering, name: mallory.id };
  await admin.patch(ref, { spec: { grant: { pods: 3 } } }, { type: 'merge' }, signal);
  await eventually('the grant is seen', async () => {
    const found = await admin.get(ref, signal);
    return (found?.status?.observedGeneration ?? 0) > (revoked.metadata.generation ?? 0);
  });
  assert.is((await ask('GET', group(apiVersion, mallory.twin, 'shadowpods?limit=1'))).status < 400, false);
  // Another token is: and it has all its rights again.
  await admin.patch(ref, { spec: { tokenName: 'another' } }, { type: 'merge' }, signal);
  await eventually('it is let in again', async () => {
    const found = await admin.get(ref, signal);
    return findCondition(found?.status?.conditions, 'TenantReady')?.status === 'True';
  });
  await identifyAnew();
  await eventually(
    'its rights are back',
    async () => (await ask('GET', group(apiVersion, mallory.twin, 'shadowpods?limit=1'))).status === 200,
  );
});

test('a deleted IncomingPeering ends the identity at once, and then all that it had', async () => {
  const begun = performance.now();
  await admin.delete({ kind: kind.incomingPeering, name: mallory.id }, {}, signal);
  const { milliseconds, status } = await firstRefusal(begun);
  console.log(`\n  IncomingPeering deleted → first refused API call after ${milliseconds} ms (${status})`);
  assert.ok(milliseconds < 5000, `${milliseconds} ms`);
  await eventually(
    'nothing of it is left',
    async () => {
      const namespaces = (await admin.list(kind.namespace, {}, signal)).items.map((one) => one.metadata.name);
      const gone = (await admin.get({ kind: kind.incomingPeering, name: mallory.id }, signal)) === undefined;
      return gone && !namespaces.includes(mallory.twin) && !namespaces.includes(mallory.tenant);
    },
    60_000,
  );
  const untouched = await admin.get({ kind: kind.pod, namespace: alice.twin, name: 'ledger' }, signal);
  assert.ok(untouched);
});

test.run();
