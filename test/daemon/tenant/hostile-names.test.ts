/** Namespace names requested by a hostile consumer, which other parts of the cluster would trust or act on. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kind } from '../../../daemon/kube/index.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { logHookFailure } from '../../support/log-hook-failure.ts';
import { eventually } from '../../support/eventually.ts';
import {
  admin,
  alice,
  apiVersion,
  send,
  startHostileConsumer,
  stopHostileConsumer,
  group,
  mallory,
  recordAttempt,
  assertRefused,
  signal,
  printAttempts,
  twinOf,
} from './hostile-setting.ts';

const test = suite('a hostile consumer: names');

test.before(logHookFailure(startHostileConsumer));
test.after(stopHostileConsumer);

const twins = group(apiVersion, mallory.tenant, 'twinnamespaces');
const claim = (name: string, namespace: string, by = undefined as typeof admin | undefined) =>
  send('POST', twins, twinOf(mallory, name, namespace), {}, ...(by === undefined ? [] : [by]));
const bound = (name: string) =>
  eventually('it is judged', async () => {
    const found = await admin.get({ kind: kind.twinNamespace, namespace: mallory.tenant, name }, signal);
    return findCondition(found?.status?.conditions, 'Bound');
  });

test('only names that end in its ID are allowed', async () => {
  for (const [what, wanted] of [
    ['a search domain, to answer for github.com', 'com'],
    ['an internal domain', 'corp'],
    ['a namespace that is installed later', 'monitoring'],
    ['a name of another tenant', `next-${alice.id}`],
    ['its ID alone', mallory.id],
    ['its ID inside', `shop-${mallory.id}-x`],
  ] as const) {
    await assertRefused(
      `a twin namespace of the name of ${what}`,
      /ends in -mallory-aaaaaa/,
      claim('n', wanted),
    );
    // Even without the policy, the controller refuses too, and creates nothing.
    assert.is((await claim('n', wanted, admin)).status, 201);
    const condition = await bound('n');
    assert.is(condition.status, 'False');
    assert.is(condition.reason, 'NameNotGranted');
    assert.is(await admin.get({ kind: kind.namespace, name: wanted }, signal), undefined);
    await admin.delete({ kind: kind.twinNamespace, namespace: mallory.tenant, name: 'n' }, {}, signal);
    await eventually('it is gone', async () => {
      const ref = { kind: kind.twinNamespace, namespace: mallory.tenant, name: 'n' };
      return (await admin.get(ref, signal)) === undefined;
    });
  }
});

test('a name in the grant is allowed, only as long as the grant lists it', async () => {
  const list = (twinNamespaces: string[]) =>
    admin.patch(
      { kind: kind.incomingPeering, name: mallory.id },
      { spec: { grant: { twinNamespaces } } },
      { type: 'merge' },
      signal,
    );
  const most = { spec: { maximumGrant: { twinNamespaces: ['monitoring'] } } };
  await admin.patch({ kind: kind.localCluster, name: 'self' }, most, { type: 'merge' }, signal);
  await eventually('the maximum is known', () =>
    list(['monitoring']).then(
      () => true,
      () => undefined,
    ),
  );
  await eventually(
    'the policy knows of it',
    async () => (await claim('listed', 'monitoring')).status === 201,
  );
  await eventually('bound', async () => (await bound('listed')).status === 'True');
  await list([]);
  await eventually('the policy knows of that', async () => (await claim('later', 'corp')).status === 403);
  // Existing namespaces stay.
  assert.is((await bound('listed')).status, 'True');
});

test('a namespace that another client creates at the same moment is not taken over', async () => {
  // The grant has room for 16 twin namespaces.
  const names = Array.from({ length: 10 }, (_, index) => `race${index}-${mallory.id}`);
  let theirs = 0;
  await Promise.all(
    names.map(async (name) => {
      const other = admin
        .create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { team: 'own' } } }, signal)
        .then(
          () => true,
          () => false,
        );
      await claim(name, name);
      if (!(await other)) return;
      theirs += 1;
      await eventually('judged', async () => (await bound(name)).reason === 'NameConflict');
      const found = await admin.get({ kind: kind.namespace, name }, signal);
      assert.is(found?.metadata.labels?.['hawser.dev/origin'], undefined, name);
      assert.is(found?.metadata.annotations?.['hawser.dev/owner-uid'], undefined, name);
    }),
  );
  assert.ok(theirs > 0, 'some were made first');
  recordAttempt(
    'a namespace made by another in that moment',
    `tenant controller creates and never adopts (${theirs} tried)`,
  );
});

test('the table of attempts is printed', () => printAttempts(7));

test.run();
