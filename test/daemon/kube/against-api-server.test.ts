/** daemon/kube against a real API server. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  createInformer,
  createInformers,
  from,
  isAlreadyExists,
  isConflict,
  isGone,
  isNotFound,
  isUnauthorized,
  isUnreachable,
  kind,
  runAsLeader,
  runController,
  type ConfigMap,
  type KubeClient,
} from '../../../daemon/kube/index.ts';
import { upControlPlane, type ControlPlane } from '../../testbed/index.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';
import { loadKubeconfig } from '../../../daemon/clients/kubernetes/kubeconfig.ts';
import { eventually } from '../../support/eventually.ts';

const test = suite('kube against an API server');
let plane: ControlPlane;
let kube: KubeClient;
const stop = new AbortController();
const signal = stop.signal;

const configMap = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
  data,
});
const ref = (name: string) => ({ kind: kind.configMap, namespace: 'default', name });

test.before(async () => {
  plane = await upControlPlane({ name: 'kube' });
  kube = connectKube({ url: plane.url, ca: plane.ca, token: () => plane.adminToken });
});
test.after(async () => {
  stop.abort();
  kube.close();
  await plane.stop();
});

test('the client reads, writes and deletes with typed errors', async () => {
  assert.is(await kube.get(ref('first'), signal), undefined);
  const made = await kube.create(configMap('first', { a: '1' }), signal);
  assert.ok(made.metadata.uid);
  try {
    await kube.create(configMap('first'), signal);
    assert.unreachable();
  } catch (error) {
    assert.ok(isAlreadyExists(error));
  }
  const patched = await kube.patch(ref('first'), { data: { b: '2' } }, { type: 'merge' }, signal);
  assert.equal(patched.data, { a: '1', b: '2' });
  try {
    await kube.replace(made, {}, signal);
    assert.unreachable();
  } catch (error) {
    assert.ok(isConflict(error));
    assert.not.ok(isAlreadyExists(error));
  }
  await kube.apply(configMap('first', { c: '3' }), { fieldManager: 'hawser-test' }, signal);
  await kube.apply(configMap('first', { d: '4' }), { fieldManager: 'hawser-test' }, signal);
  assert.equal((await kube.get(ref('first'), signal))?.data, { a: '1', b: '2', d: '4' });
  // An object of that name with another UID is not deleted, and the intended object is gone: success.
  await kube.delete(ref('first'), { uid: 'another' }, signal);
  assert.ok(await kube.get(ref('first'), signal));
  await kube.delete(ref('first'), { uid: made.metadata.uid ?? '' }, signal);
  assert.is(await kube.get(ref('first'), signal), undefined);
  await kube.delete(ref('first'), {}, signal);
});

test('errors distinguish a refusal from an unreachable server', async () => {
  const stranger = connectKube({ url: plane.url, ca: plane.ca, token: () => 'nobody' });
  await stranger.list(kind.pod, {}, signal).then(
    () => assert.unreachable(),
    (error) => assert.ok(isUnauthorized(error)),
  );
  const nobody = connectKube({ url: 'https://127.0.0.1:1', ca: plane.ca });
  await nobody.list(kind.pod, {}, signal).then(
    () => assert.unreachable(),
    (error) => assert.ok(isUnreachable(error) && error.code === 'ECONNREFUSED'),
  );
  const distrusting = connectKube({ url: plane.url, token: () => plane.adminToken });
  await distrusting.list(kind.pod, {}, signal).then(
    () => assert.unreachable(),
    (error) => assert.ok(isUnreachable(error)),
  );
  await kube.patch(ref('missing'), {}, { type: 'merge' }, signal).then(
    () => assert.unreachable(),
    (error) => assert.ok(isNotFound(error)),
  );
});

test('a kubeconfig gives the same rights', async () => {
  const client = connectKube(
    await loadKubeconfig({ kubeconfig: plane.kubeconfig, environment: process.env }),
  );
  assert.ok((await client.list(kind.namespace, {}, signal)).items.length >= 1);
  client.close();
});

test('a list reads all pages', async () => {
  const names = Array.from({ length: 520 }, (_, index) => `page-${index}`);
  for (let start = 0; start < names.length; start += 40) {
    await Promise.all(names.slice(start, start + 40).map((name) => kube.create(configMap(name), signal)));
  }
  const { items } = await kube.list(kind.configMap, { namespace: 'default' }, signal);
  assert.is(items.filter((item) => item.metadata.name.startsWith('page-')).length, 520);
  assert.is(items[0]?.kind, 'ConfigMap');
  await kube.text('DELETE', '/api/v1/namespaces/default/configmaps', {}, signal);
});

test('an informer follows changes, and continues after a broken connection and after 410', async () => {
  const changes: string[] = [];
  const informer = createInformer(kube, kind.configMap, { namespace: 'default', labelSelector: 'seen=yes' });
  informer.onChange((key, object, previous) =>
    changes.push(`${object === undefined ? 'gone' : previous === undefined ? 'new' : 'changed'} ${key}`),
  );
  const ended = new AbortController();
  const running = informer.run(ended.signal);
  await informer.synced(signal);
  const seen = {
    ...configMap('watched'),
    metadata: { ...configMap('watched').metadata, labels: { seen: 'yes' } },
  };
  await kube.create(seen, signal);
  await eventually('it is known', () => informer.get('default', 'watched') !== undefined);
  assert.is(informer.get('default', 'watched')?.metadata.managedFields, undefined);
  informer.reconnect();
  await kube.patch(ref('watched'), { data: { x: 'y' } }, { type: 'merge' }, signal);
  await eventually('the change is known', () => informer.byKey('default/watched')?.data?.['x'] === 'y');
  // An object that leaves the selection counts as deleted.
  await kube.patch(ref('watched'), { metadata: { labels: { seen: 'no' } } }, { type: 'merge' }, signal);
  await eventually('it is gone', () => informer.list().length === 0);
  assert.equal(changes, ['new default/watched', 'changed default/watched', 'gone default/watched']);
  assert.ok(informer.contactedAt > 0);
  ended.abort();
  await running;
  await kube.delete(ref('watched'), {}, signal);
});

test('a watch from an expired version fails with 410', async () => {
  const watch = kube.watch(
    kind.configMap,
    { resourceVersion: '1', timeoutSeconds: 5, idleTimeoutMilliseconds: 10_000 },
    signal,
  );
  try {
    for await (const _ of watch) break;
  } catch (error) {
    assert.ok(isGone(error), String(error));
  }
});

test('a controller reconciles, and retries after failures', async () => {
  const ended = new AbortController();
  const informers = createInformers(kube, {}, ended.signal);
  const wanted = informers.informer(kind.configMap, { namespace: 'default', labelSelector: 'want=copy' });
  assert.is(wanted, informers.informer(kind.configMap, { namespace: 'default', labelSelector: 'want=copy' }));
  let failures = 2;
  const running = runController(
    {
      name: 'copies',
      sources: [from(wanted)],
      async reconcile(key, reconcileSignal) {
        if (failures-- > 0) throw new Error('not yet');
        const original = wanted.byKey(key);
        if (original === undefined) return;
        await kube.apply(
          configMap(`${original.metadata.name}-copy`, original.data),
          { fieldManager: 'hawser-test' },
          reconcileSignal,
        );
      },
    },
    ended.signal,
  );
  await kube.create(
    {
      ...configMap('original', { k: 'v' }),
      metadata: { name: 'original', namespace: 'default', labels: { want: 'copy' } },
    },
    signal,
  );
  await eventually(
    'the copy is there',
    async () => (await kube.get(ref('original-copy'), signal))?.data?.['k'] === 'v',
  );
  ended.abort();
  await running;
  await informers.ended();
});

test('one candidate leads at a time, and the next takes over as soon as the lease is released', async () => {
  const order: string[] = [];
  const lead = (identity: string, until: AbortSignal) =>
    runAsLeader(
      { kube, namespace: 'default', name: 'one', identity, leaseSeconds: 3 },
      async (leading) => {
        order.push(`${identity} leads`);
        await new Promise<void>((resolve) => leading.addEventListener('abort', () => resolve()));
        order.push(`${identity} ends`);
      },
      until,
    );
  const first = new AbortController();
  const second = new AbortController();
  const a = lead('a', first.signal);
  await eventually('a leads', () => order.length === 1);
  const b = lead('b', second.signal);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(order, ['a leads']);
  first.abort();
  await a;
  await eventually('b leads', () => order.length === 3, 2000);
  assert.equal(order, ['a leads', 'a ends', 'b leads']);
  // Another holder takes the lease by force: b notices and ends.
  await kube.patch(
    { kind: kind.lease, namespace: 'default', name: 'one' },
    { spec: { holderIdentity: 'c' } },
    { type: 'merge' },
    signal,
  );
  await b;
  assert.is(order.at(-1), 'b ends');
});

test.run();
