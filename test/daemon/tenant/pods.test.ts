/** Twin namespaces and shadow pods against a real API server: creation, updates and deletion are visible without a kubelet. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kind, type Pod, type Ref } from '../../../daemon/kube/index.ts';
import { runTenant } from '../../../daemon/tenant/index.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';
import type { ShadowPod, TwinNamespace } from '../../../shared/api/offloading.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { Cluster, namespace } from '../clusters.ts';
import { eventually } from '../../support/eventually.ts';

const test = suite('pods of tenants');
let cluster: Cluster;
const apiVersion = 'hawser.dev/v1alpha1';
const tenant = 'hawser-tenant-consumer-abc123';
const twin = 'shop-consumer-abc123';
const spec = { containers: [{ name: 'a', image: 'example.com/a:1' }], terminationGracePeriodSeconds: 0 };

const peering = (grant: Partial<IncomingPeering['spec']['grant']> = {}): IncomingPeering => ({
  apiVersion,
  kind: 'IncomingPeering',
  metadata: { name: 'consumer-abc123' },
  spec: {
    remoteCluster: 'consumer-abc123',
    peering: 'default',
    grant: { cpu: '1', memory: '2Gi', pods: 3, podSecurity: 'baseline', ...grant },
    desired: 'Active',
  },
});
const twinObject = (name: string, wanted: string): TwinNamespace => ({
  apiVersion,
  kind: 'TwinNamespace',
  metadata: { name, namespace: tenant },
  spec: { sourceNamespace: name, sourceUID: 'u1', namespace: wanted },
});
const shadow = (name: string, pod: object = spec): ShadowPod => ({
  apiVersion,
  kind: 'ShadowPod',
  metadata: { name, namespace: twin },
  spec: {
    podUID: `uid-${name}`,
    labels: {
      app: 'shop',
      'hawser.dev/origin': 'forged',
      'policy.example.com/skip': 'true',
      'app.kubernetes.io/name': 'n',
    },
    annotations: { note: 'kept', 'cni.example.org/address': 'dropped' },
    pod: pod as Record<string, unknown>,
  },
});
const getShadow = (name: string) =>
  cluster.kube.get({ kind: kind.shadowPod, namespace: twin, name }, cluster.signal);
const getPod = (name: string) => cluster.kube.get({ kind: kind.pod, namespace: twin, name }, cluster.signal);
const admitted = async (name: string) =>
  findCondition((await getShadow(name))?.status?.conditions, 'Admitted');

test.before(async () => {
  cluster = await Cluster.start({ name: 'tenants' });
  await cluster.startController({ tenant: runTenant });
});
test.after(() => cluster?.stop());

test('an incoming peering becomes a tenant', async () => {
  const started = Date.now();
  await cluster.kube.create(peering(), cluster.signal);
  const ready = await eventually('TenantReady', async () => {
    const object = await cluster.kube.get(
      { kind: kind.incomingPeering, name: 'consumer-abc123' },
      cluster.signal,
    );
    return findCondition(object?.status?.conditions, 'TenantReady')?.status === 'True' && object;
  });
  console.log(`\n  tenant ready after ${Date.now() - started} ms`);
  assert.is(ready.status?.tenantNamespace, tenant);
  assert.is(ready.status?.observedGeneration, ready.metadata.generation);
});

test('a twin namespace is created with its limits', async () => {
  const started = Date.now();
  await cluster.kube.create(twinObject('shop', twin), cluster.signal);
  await eventually('Bound', async () => {
    const object = await cluster.kube.get(
      { kind: kind.twinNamespace, namespace: tenant, name: 'shop' },
      cluster.signal,
    );
    return object?.status?.namespace === twin;
  });
  console.log(`  twin bound after ${Date.now() - started} ms`);
  const made = await cluster.kube.get({ kind: kind.namespace, name: twin }, cluster.signal);
  assert.is(made?.metadata.labels?.['pod-security.kubernetes.io/enforce'], 'baseline');
  const refs: Ref[] = [
    { kind: kind.resourceQuota, name: 'hawser-grant' },
    { kind: kind.limitRange, name: 'hawser-defaults' },
    { kind: kind.networkPolicy, name: 'hawser-isolation' },
    { kind: kind.role, name: 'hawser-consumer' },
    { kind: kind.roleBinding, name: 'hawser-consumer' },
    { kind: kind.serviceAccount, name: 'default' },
  ];
  for (const ref of refs) {
    assert.ok(await cluster.kube.get({ ...ref, namespace: twin }, cluster.signal), ref.name);
  }
});

test('an existing namespace is not taken over', async () => {
  for (const [name, wanted] of [
    ['theirs', 'default'],
    ['system', 'kube-system'],
    ['hawser', namespace],
    ['future', 'kube-future'],
  ] as const) {
    await cluster.kube.create(twinObject(name, wanted), cluster.signal);
    const refused = await eventually('it is refused', async () => {
      const ref = { kind: kind.twinNamespace, namespace: tenant, name };
      return findCondition((await cluster.kube.get(ref, cluster.signal))?.status?.conditions, 'Bound');
    });
    assert.is(refused.status, 'False');
    assert.match(refused.reason, /^Name(Conflict|Reserved)$/);
    await cluster.kube.delete({ kind: kind.twinNamespace, namespace: tenant, name }, {}, cluster.signal);
  }
  const kept = await cluster.kube.get({ kind: kind.namespace, name: 'default' }, cluster.signal);
  assert.is(kept?.metadata.deletionTimestamp, undefined);
  assert.is(kept?.metadata.labels?.['hawser.dev/origin'], undefined);
});

test('a shadow pod becomes a real pod, with the provider’s labels', async () => {
  const started = Date.now();
  await cluster.kube.create(shadow('one'), cluster.signal);
  const pod = await eventually('the pod is there', () => getPod('one'));
  console.log(`  pod made after ${Date.now() - started} ms`);
  assert.equal(pod.metadata.labels, {
    app: 'shop',
    'app.kubernetes.io/name': 'n',
    'hawser.dev/origin': 'consumer-abc123',
    'hawser.dev/origin-namespace': 'shop',
    'hawser.dev/peering': 'consumer-abc123',
    'hawser.dev/remote-cluster': 'consumer-abc123',
    // Labels that could have an effect here get a prefix without meaning.
    'label.hawser.dev/hawser.dev_origin': 'forged',
    'label.hawser.dev/policy.example.com_skip': 'true',
  });
  assert.is(pod.metadata.annotations?.['note'], 'kept');
  assert.is(pod.metadata.annotations?.['cni.example.org/address'], undefined);
  assert.is(pod.metadata.annotations?.['hawser.dev/origin-pod-uid'], 'uid-one');
  await eventually('Admitted', async () => (await admitted('one'))?.status === 'True');
});

test('the pod’s status is mirrored at once', async () => {
  const status = { phase: 'Running', podIP: '10.244.1.7', podIPs: [{ ip: '10.244.1.7' }] };
  await cluster.kube.patch<Pod>(
    { kind: kind.pod, namespace: twin, name: 'one' },
    { status },
    { type: 'merge', subresource: 'status' },
    cluster.signal,
  );
  const started = Date.now();
  await eventually('it is mirrored', async () => {
    const shown = (await getShadow('one'))?.status;
    return (
      shown?.pod?.['podIP'] === '10.244.1.7' && findCondition(shown.conditions, 'Running')?.status === 'True'
    );
  });
  console.log(`  status mirrored after ${Date.now() - started} ms`);
});

test('a deleted real pod is created again', async () => {
  const before = await getPod('one');
  await cluster.kube.delete({ kind: kind.pod, namespace: twin, name: 'one' }, {}, cluster.signal);
  const after = await eventually('another one', async () => {
    const pod = await getPod('one');
    return pod?.metadata.uid !== before?.metadata.uid && pod;
  });
  assert.is(after.metadata.annotations?.['hawser.dev/restarts'], '1');
  await eventually('it is counted', async () => (await getShadow('one'))?.status?.restarts === 1);
});

/** Acts like a kubelet: writes the final phase, and deletes without grace immediately afterwards. */
async function endAsKubelet(name: string, status: Pod['status']): Promise<void> {
  const ref = { kind: kind.pod, namespace: twin, name };
  await cluster.kube.patch<Pod>(ref, { status }, { type: 'merge', subresource: 'status' }, cluster.signal);
  await cluster.kube.delete(ref, { gracePeriodSeconds: 0 }, cluster.signal);
}
const exited = (exitCode: number): Pod['status'] => ({
  phase: exitCode === 0 ? 'Succeeded' : 'Failed',
  containerStatuses: [
    {
      name: 'a',
      ready: false,
      restartCount: 0,
      image: '',
      imageID: '',
      state: { terminated: { exitCode } },
    },
  ],
});
const podInRecord = async (name: string) => (await getShadow(name))?.status?.pod as Pod['status'];

test('a pod that may run only once and is deleted while it runs fails by a disruption, and never runs twice', async () => {
  await cluster.kube.create(shadow('once', { ...spec, restartPolicy: 'Never' }), cluster.signal);
  await eventually('the pod is there', () => getPod('once'));
  await eventually('Admitted', async () => (await getShadow('once'))?.status?.podUID !== undefined);
  await cluster.kube.delete({ kind: kind.pod, namespace: twin, name: 'once' }, {}, cluster.signal);
  const status = await eventually('its end stands in the record', async () => {
    const shown = await podInRecord('once');
    return shown?.phase === 'Failed' && shown;
  });
  assert.is(status.reason, 'PodGone');
  assert.is(status.conditions?.find(({ type }) => type === 'DisruptionTarget')?.status, 'True');
  await eventually('the pod is gone', async () => (await getPod('once')) === undefined);
  assert.is((await getShadow('once'))?.status?.restarts ?? 0, 0);
  await cluster.kube.delete({ kind: kind.shadowPod, namespace: twin, name: 'once' }, {}, cluster.signal);
});

test('the exit code of a pod is recorded, however quickly its kubelet deletes it: ten of ten', async () => {
  for (let index = 0; index < 10; index++) {
    const name = `exit-${index}`;
    await cluster.kube.create(shadow(name, { ...spec, restartPolicy: 'Never' }), cluster.signal);
    await eventually('the pod is there', async () => (await getShadow(name))?.status?.podUID !== undefined);
    await endAsKubelet(name, exited(42));
    const shown = await eventually('its end stands in the record', async () => {
      const pod = await podInRecord(name);
      return pod?.phase === 'Failed' && pod;
    });
    assert.is(shown.containerStatuses?.[0]?.state?.terminated?.exitCode, 42);
    await cluster.kube.delete({ kind: kind.shadowPod, namespace: twin, name }, {}, cluster.signal);
    await eventually('it is gone', async () => (await getShadow(name)) === undefined);
  }
});

test('an evicted pod is not created again for any restartPolicy', async () => {
  await cluster.kube.create(shadow('evicted'), cluster.signal);
  await eventually(
    'the pod is there',
    async () => (await getShadow('evicted'))?.status?.podUID !== undefined,
  );
  const ref = { kind: kind.pod, namespace: twin, name: 'evicted' };
  const status = { phase: 'Failed', reason: 'Evicted' };
  await cluster.kube.patch<Pod>(ref, { status }, { type: 'merge', subresource: 'status' }, cluster.signal);
  await eventually('it is reported', async () => (await podInRecord('evicted'))?.reason === 'Evicted');
  await cluster.kube.delete(ref, {}, cluster.signal);
  await eventually('the pod is gone', async () => (await getPod('evicted')) === undefined);
  assert.is((await podInRecord('evicted'))?.reason, 'Evicted');
  await cluster.kube.delete({ kind: kind.shadowPod, namespace: twin, name: 'evicted' }, {}, cluster.signal);
  await eventually('its record goes', async () => (await getShadow('evicted')) === undefined);
});

test('a refusal is reported on the shadow pod', async () => {
  await cluster.kube.create(shadow('bad', { ...spec, hostNetwork: true }), cluster.signal);
  const condition = await eventually('it is refused', () => admitted('bad'));
  assert.is(condition.status, 'False');
  assert.match(condition.message, /^hostNetwork: /);
  assert.is(await getPod('bad'), undefined);
  await cluster.kube.delete({ kind: kind.shadowPod, namespace: twin, name: 'bad' }, {}, cluster.signal);
});

test('the grant holds for many pods at once, and waiting pods are admitted when there is room', async () => {
  const names = Array.from({ length: 8 }, (_, index) => `many-${index}`);
  await Promise.all(names.map((name) => cluster.kube.create(shadow(name), cluster.signal)));
  await eventually('all are decided', async () =>
    (await Promise.all(names.map(admitted))).every((each) => each !== undefined),
  );
  const pods = async () => (await cluster.kube.list(kind.pod, { namespace: twin }, cluster.signal)).items;
  assert.is((await pods()).length, 3);
  const inside = (await pods()).map((each) => each.metadata.name).filter((name) => name.startsWith('many'));
  await cluster.kube.delete(
    { kind: kind.shadowPod, namespace: twin, name: inside[0] ?? '' },
    {},
    cluster.signal,
  );
  await eventually('another takes its place', async () => {
    const now = (await pods()).map((each) => each.metadata.name);
    return now.length === 3 && !now.includes(inside[0] ?? '');
  });
  const used = await cluster.kube.get(
    { kind: kind.incomingPeering, name: 'consumer-abc123' },
    cluster.signal,
  );
  await eventually('it is shown as used', async () => {
    const now = await cluster.kube.get(
      { kind: kind.incomingPeering, name: 'consumer-abc123' },
      cluster.signal,
    );
    return (
      now?.status?.used?.pods === 3 &&
      findCondition(now.status.conditions, 'QuotaAvailable')?.status === 'False'
    );
  });
  assert.ok(used);
});

test('a deleted shadow pod stays until its real pod is gone', async () => {
  await cluster.kube.delete({ kind: kind.shadowPod, namespace: twin, name: 'one' }, {}, cluster.signal);
  await eventually('it is gone', async () => (await getShadow('one')) === undefined);
  assert.is(await getPod('one'), undefined);
});

test('a drained peering admits no pods, leaves the evictions to the consumer, and reports the progress', async () => {
  const ref = { kind: kind.incomingPeering, name: 'consumer-abc123' };
  const desire = (desired: string) =>
    cluster.kube.patch(ref, { spec: { desired } }, { type: 'merge' }, cluster.signal);
  const pods = async () => (await cluster.kube.list(kind.pod, { namespace: twin }, cluster.signal)).items;
  const schedulable = async (reason: string) => {
    const condition = findCondition(
      (await cluster.kube.get(ref, cluster.signal))?.status?.conditions,
      'Schedulable',
    );
    return condition?.reason === reason && condition;
  };
  const uids = async () => new Set((await pods()).map(({ metadata }) => metadata.uid));
  const before = await uids();
  assert.ok(before.size > 0);
  await desire('Drained');
  const draining = await eventually('it is said', () => schedulable('Draining'));
  assert.match(draining.message, new RegExp(`${before.size} pods of consumer-abc123 are still here`));
  // The disruption budgets are at the consumer: the provider itself ends no pod.
  assert.equal(await uids(), before);
  const shadows = (await cluster.kube.list(kind.shadowPod, { namespace: twin }, cluster.signal)).items;
  for (const each of shadows)
    await cluster.kube.delete(
      { kind: kind.shadowPod, namespace: twin, name: each.metadata.name },
      {},
      cluster.signal,
    );
  await eventually('it is drained', () => schedulable('Drained'));
  await cluster.kube.create(shadow('late'), cluster.signal);
  const refused = await eventually('a new one is refused', async () => {
    const condition = await admitted('late');
    return condition?.reason === 'Cordoned' && condition;
  });
  assert.match(refused.message, /Drained/);
  await desire('Active');
  await eventually('it comes in', async () => (await getPod('late')) !== undefined);
});

/** Kubernetes' controller counts deleted pods out of a quota when it comes to it, later on a busy machine. */
const quotaMilliseconds = 60_000;

/** The hard limits of the twin namespace's quota, once Kubernetes has counted by them. */
const hardQuota = async (wanted: string) => {
  const ref = { kind: kind.resourceQuota, namespace: twin, name: 'hawser-grant' };
  const quota = await cluster.kube.get(ref, cluster.signal);
  const { hard, used } = quota?.status ?? {};
  return hard?.[wanted] === undefined ? undefined : { hard, used };
};
const patchGrant = (grant: object) =>
  cluster.kube.patch(
    { kind: kind.incomingPeering, name: 'consumer-abc123' },
    { spec: { grant } },
    { type: 'merge' },
    cluster.signal,
  );

test('requests are counted, no defaults are added, and devices are granted', async () => {
  const { items } = await cluster.kube.list(kind.shadowPod, { namespace: twin }, cluster.signal);
  for (const { metadata } of items)
    await cluster.kube.delete(
      { kind: kind.shadowPod, namespace: twin, name: metadata.name },
      {},
      cluster.signal,
    );
  await eventually(
    'the twin is empty',
    async () => (await cluster.kube.list(kind.pod, { namespace: twin }, cluster.signal)).items.length === 0,
  );
  const extendedResources = [
    { name: 'a.example/gpu', quantity: '2' },
    { name: 'hugepages-2Mi', quantity: '8Mi' },
  ];
  await patchGrant({ pods: 20, ephemeralStorage: '10Gi', extendedResources });
  const quota = await eventually('the quota counts them', () => hardQuota('requests.a.example/gpu'));
  assert.is(quota.hard['requests.hugepages-2Mi'], '8Mi');
  assert.is(quota.hard['limits.cpu'], undefined);
  const with_ = (resources: object) => ({ ...spec, containers: [{ ...spec.containers[0], resources }] });
  const asked = (name: string, resources: object) =>
    cluster.kube.create(shadow(name, with_(resources)), cluster.signal);
  // More than sixteen pods without requests, with a grant of one CPU.
  await Promise.all(Array.from({ length: 17 }, (_, n) => asked(`plain-${n}`, {})));
  const plain = await eventually('the last one is there', () => getPod('plain-16'));
  assert.is(plain.status?.qosClass, 'BestEffort');
  assert.equal(plain.spec?.containers[0]?.resources?.limits, { 'ephemeral-storage': '1Gi' });
  await asked('gpus', {
    requests: { cpu: '100m' },
    limits: { cpu: '50', memory: '8Mi', 'a.example/gpu': '2', 'hugepages-2Mi': '8Mi' },
  });
  await eventually('limits are free', () => getPod('gpus'));
  await asked('one-more', { limits: { 'a.example/gpu': '1' } });
  const refused = await eventually('no device is left', async () => {
    const condition = await admitted('one-more');
    return condition?.status === 'False' && condition;
  });
  assert.is(refused.reason, 'QuotaExceeded');
  assert.match(refused.message, /only 0 of the granted 2 are left/);
  await eventually(
    'Kubernetes counts the same',
    async () => {
      const { used = {} } = (await hardQuota('requests.a.example/gpu')) ?? {};
      return (
        used['requests.a.example/gpu'] === '2' && used['requests.cpu'] === '100m' && used['pods'] === '18'
      );
    },
    quotaMilliseconds,
  );
  const ref = { kind: kind.incomingPeering, name: 'consumer-abc123' };
  await eventually('it is shown', async () => {
    const used = (await cluster.kube.get(ref, cluster.signal))?.status?.used;
    return used?.cpu === '100m' && used.extendedResources?.[0]?.quantity === '2';
  });
});

test('a grant that counts limits requires limits, or sets its own', async () => {
  // The default disk limits count too.
  await patchGrant({ enforcement: 'Hard', ephemeralStorage: '100Gi' });
  await eventually('the quota counts limits', () => hardQuota('limits.memory'));
  await cluster.kube.delete({ kind: kind.shadowPod, namespace: twin, name: 'gpus' }, {}, cluster.signal);
  await eventually('its limits are free', async () => (await getShadow('gpus')) === undefined);
  await eventually(
    'Kubernetes has seen it too',
    async () => (await hardQuota('limits.cpu'))?.used?.['limits.cpu'] === '0',
  );
  await cluster.kube.create(shadow('unlimited'), cluster.signal);
  const refused = await eventually('it is refused', () => admitted('unlimited'));
  assert.match(refused.message, /limits.cpu: must be set/);
  await patchGrant({ defaultLimits: { cpu: '10m', memory: '16Mi' } });
  await eventually('the default is known', async () => (await hardQuota('limits.memory')) !== undefined);
  await cluster.kube.create(shadow('limited'), cluster.signal);
  const decided = await eventually('it is decided', () => admitted('limited'));
  assert.is(decided.status, 'True', decided.message);
  const pod = await eventually('it is there', () => getPod('limited'));
  assert.equal(pod.spec?.containers[0]?.resources, {
    requests: { cpu: '0', memory: '0', 'ephemeral-storage': '0' },
    limits: { cpu: '10m', memory: '16Mi', 'ephemeral-storage': '1Gi' },
  });
});

test('a deleted identity Secret revokes, and is not created again', async () => {
  const ref = { kind: kind.secret, namespace: tenant, name: 'hawser-identity' };
  assert.ok(await cluster.kube.get(ref, cluster.signal));
  await cluster.kube.delete(ref, {}, cluster.signal);
  await eventually('Revoked', async () => {
    const object = await cluster.kube.get(
      { kind: kind.incomingPeering, name: 'consumer-abc123' },
      cluster.signal,
    );
    return findCondition(object?.status?.conditions, 'Revoked')?.status === 'True';
  });
  assert.is(await cluster.kube.get(ref, cluster.signal), undefined);
  // Another token starts a new identity.
  await cluster.kube.patch(
    { kind: kind.incomingPeering, name: 'consumer-abc123' },
    { spec: { tokenName: 'another' } },
    { type: 'merge' },
    cluster.signal,
  );
  await eventually('it is there again', () => cluster.kube.get(ref, cluster.signal));
});

test('the end of a peering deletes everything of it', async () => {
  const started = Date.now();
  await cluster.kube.delete({ kind: kind.incomingPeering, name: 'consumer-abc123' }, {}, cluster.signal);
  await eventually(
    'nothing is left',
    async () => {
      const left = (await cluster.kube.list(kind.namespace, {}, cluster.signal)).items.map(
        (each) => each.metadata.name,
      );
      const peerings = await cluster.kube.list(kind.incomingPeering, {}, cluster.signal);
      return peerings.items.length === 0 && !left.includes(tenant) && !left.includes(twin);
    },
    30_000,
  );
  console.log(`  all gone after ${Date.now() - started} ms`);
});

test.run();
