/** Virtual node, offloading and reflection between two real control planes. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { NamespaceOffloading, ShadowPod } from '../../../shared/api/offloading.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { labels, twinName } from '../../../shared/names.ts';
import {
  kind,
  type AnyObject,
  type KindRef,
  type Node,
  type Pod,
  type Service,
} from '../../../daemon/kube/index.ts';
import { runReflection } from '../../../daemon/reflect/index.ts';
import { runPodWebhook, runVirtualNodes } from '../../../daemon/vnode/index.ts';
import { freePort } from '../clusters.ts';
import * as testbed from '../../testbed/index.ts';
import {
  consumerID,
  meet,
  playKubelet,
  providerID,
  refusalsCounted,
  setPath,
  upPlanes,
  virtualNode,
  type Planes,
} from './planes.ts';
import { eventually } from '../../support/eventually.ts';

const test = suite('offloading between two control planes');
let planes: Planes;
let webhookPort: number;
const twin = twinName('shop', consumerID);

const node = () => planes.consumer.kube.get<Node>({ kind: kind.node, name: virtualNode }, planes.signal);
const localPod = (name: string) =>
  planes.consumer.kube.get<Pod>({ kind: kind.pod, namespace: 'shop', name }, planes.signal);
const remotePod = (name: string) =>
  planes.provider.kube.get<Pod>({ kind: kind.pod, namespace: twin, name }, planes.signal);
const shadowPod = (name: string) =>
  planes.provider.kube.get<ShadowPod>({ kind: kind.shadowPod, namespace: twin, name }, planes.signal);
const peering = () =>
  planes.consumer.kube.get<OutgoingPeering>({ kind: kind.outgoingPeering, name: providerID }, planes.signal);
const offloading = () =>
  planes.consumer.kube.get<NamespaceOffloading>(
    { kind: kind.namespaceOffloading, namespace: 'shop', name: 'offloading' },
    planes.signal,
  );
const nodeCondition = (of: Node | undefined, type: string) =>
  of?.status?.conditions?.find((each) => each.type === type);
const podCondition = (of: Pod | undefined, type: string) =>
  of?.status?.conditions?.find((each) => each.type === type);

const pod = (name: string, more: Record<string, unknown> = {}, namespace = 'shop'): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels: { app: name } },
  spec: { containers: [{ name: 'main', image: 'pause' }], terminationGracePeriodSeconds: 1, ...more },
});
const create = (object: AnyObject) => planes.consumer.kube.create(object, planes.signal);

test.before(async () => {
  planes = await upPlanes(testbed);
  webhookPort = await freePort();
  const { context } = planes.consumer;
  planes.started.push(
    runVirtualNodes(context, planes.signal),
    runReflection(context, planes.signal),
    runPodWebhook(context, planes.signal, { port: webhookPort, url: `https://127.0.0.1:${webhookPort}` }),
  );
});
test.after(() => planes.stop());

test('a peering becomes a Ready node within two seconds', async () => {
  await meet(planes);
  const begun = Date.now();
  const ready = await eventually('the node is Ready', async () => {
    const found = await node();
    return nodeCondition(found, 'Ready')?.status === 'True' ? found : undefined;
  });
  assert.ok(Date.now() - begun < 2000, `${Date.now() - begun} ms`);
  assert.is(ready.status?.allocatable?.['cpu'], '4');
  assert.is(ready.status?.allocatable?.['pods'], '20');
  assert.is(ready.metadata.labels?.[labels.remoteCluster], providerID);
  assert.ok(
    ready.spec?.taints?.some(
      (taint) => taint.key === 'hawser.dev/virtual-node' && taint.effect === 'NoSchedule',
    ),
  );
  assert.is(ready.status?.addresses?.find((each) => each.type === 'InternalIP')?.address, '127.0.0.1');
  await eventually('the peering says so', async () => {
    const found = await peering();
    return findCondition(found?.status?.conditions, 'NodeReady')?.status === 'True';
  });
  const lease = await planes.consumer.kube.get(
    { kind: kind.lease, namespace: 'kube-node-lease', name: virtualNode },
    planes.signal,
  );
  assert.is((lease?.spec as { holderIdentity?: string } | undefined)?.holderIdentity, virtualNode);
});

test('Ready follows the data path', async () => {
  await setPath(planes, false);
  const lost = await eventually(
    'not Ready',
    async () => {
      const found = await node();
      return nodeCondition(found, 'Ready')?.status === 'False' ? found : undefined;
    },
    3000,
  );
  assert.is(nodeCondition(lost, 'NetworkUnavailable')?.status, 'True');
  assert.match(nodeCondition(lost, 'Ready')?.message ?? '', /it does not work/);
  await setPath(planes, true);
  await eventually('Ready again', async () => nodeCondition(await node(), 'Ready')?.status === 'True', 3000);
});

test('an offloaded namespace gets its twin namespace', async () => {
  await create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  await create({
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'NamespaceOffloading',
    metadata: { name: 'offloading', namespace: 'shop' },
    spec: { podPlacement: 'Remote' },
  });
  const ready = await eventually(
    'Ready',
    async () => {
      const found = await offloading();
      return findCondition(found?.status?.conditions, 'Ready')?.status === 'True' ? found : undefined;
    },
    10_000,
  );
  assert.is(ready.status?.remotes?.[0]?.twinNamespace, twin);
  const made = await planes.provider.kube.get({ kind: kind.namespace, name: twin }, planes.signal);
  assert.is(made?.metadata.labels?.[labels.origin], consumerID);
});

test('a pod runs at the provider, and its status is translated to the consumer’s addresses', async () => {
  await eventually('a service account', async () =>
    planes.consumer.kube.get(
      { kind: kind.serviceAccount, namespace: 'shop', name: 'default' },
      planes.signal,
    ),
  );
  await create(pod('web'));
  await eventually(
    'scheduled on the virtual node',
    async () => (await localPod('web'))?.spec?.nodeName === virtualNode,
  );
  await eventually('the real pod', () => remotePod('web'));
  const begun = Date.now();
  await playKubelet(planes, twin, 'web', '10.244.3.4');
  const running = await eventually(
    'Running',
    async () => {
      const found = await localPod('web');
      return found?.status?.phase === 'Running' ? found : undefined;
    },
    3000,
  );
  assert.ok(Date.now() - begun < 1000, `${Date.now() - begun} ms`);
  assert.is(running.status?.podIP, '10.128.3.4');
  assert.equal(running.status?.podIPs, [{ ip: '10.128.3.4' }]);
  assert.is(running.status?.hostIP, '127.0.0.1');
  assert.is(podCondition(running, 'Ready')?.status, 'True');
  assert.is(podCondition(running, 'hawser.dev/Offloaded')?.status, 'True');
  assert.is(running.status?.containerStatuses?.[0]?.ready, true);
  const shadow = await shadowPod('web');
  assert.not.match(JSON.stringify(shadow?.spec.pod), /kube-api-access/);
});

test('restarts and readiness are reported within a second', async () => {
  const begun = Date.now();
  const status = (await remotePod('web'))?.status;
  const [container] = status?.containerStatuses ?? [];
  await playKubelet(planes, twin, 'web', '10.244.3.4', {
    containerStatuses: [{ ...container, ready: false, restartCount: 3 }],
  });
  await eventually(
    'restarts',
    async () => (await localPod('web'))?.status?.containerStatuses?.[0]?.restartCount === 3,
    3000,
  );
  assert.ok(Date.now() - begun < 1000, `${Date.now() - begun} ms`);
  await playKubelet(planes, twin, 'web', '10.244.3.4');
});

for (const [what, name, address, why] of [
  ['outside the provider’s ranges', 'liar', '192.168.1.1', /outside the pod ranges that it declares/],
  ['that another pod has', 'thief', '10.244.3.4', /which belongs to another pod of this cluster/],
] as const) {
  test(`an address ${what} is refused and counted`, async () => {
    const before = refusalsCounted(planes.consumer, providerID, 'PodAddress');
    await create(pod(name));
    await eventually('the real pod', () => remotePod(name));
    await playKubelet(planes, twin, name, address);
    const seen = await eventually('a condition that says so', async () => {
      const found = await localPod(name);
      return podCondition(found, 'hawser.dev/Offloaded')?.reason === 'AddressNotAccepted' && found;
    });
    assert.match(podCondition(seen, 'hawser.dev/Offloaded')?.message ?? '', why);
    assert.is(seen.status?.podIP, undefined);
    assert.is(podCondition(seen, 'Ready')?.status, 'False');
    // Only once, however often it is reconciled.
    await eventually('it is counted', () =>
      Promise.resolve(refusalsCounted(planes.consumer, providerID, 'PodAddress') === before + 1),
    );
    assert.is((await localPod('web'))?.status?.podIP, '10.128.3.4', 'whose it is keeps it');
  });
}

test('a deleted real pod or record is created again', async () => {
  const before = await shadowPod('web');
  await planes.provider.kube.delete(
    { kind: kind.pod, namespace: twin, name: 'web' },
    { gracePeriodSeconds: 0 },
    planes.signal,
  );
  await eventually('another real pod', async () => {
    const found = await remotePod('web');
    return (
      found !== undefined &&
      found.metadata.deletionTimestamp === undefined &&
      found.status?.phase === 'Pending'
    );
  });
  await eventually(
    'Ready is False meanwhile',
    async () => podCondition(await localPod('web'), 'Ready')?.status !== 'True',
  );
  await planes.provider.kube.delete(
    { kind: kind.shadowPod, namespace: twin, name: 'web' },
    {},
    planes.signal,
  );
  await eventually('another record', async () => {
    const found = await shadowPod('web');
    return found !== undefined && found.metadata.uid !== before?.metadata.uid;
  });
  await eventually('and its pod', () => remotePod('web'));
  await playKubelet(planes, twin, 'web', '10.244.3.5');
  await eventually('the new address', async () => (await localPod('web'))?.status?.podIP === '10.128.3.5');
});

test('an event of the provider’s kubelet becomes an event of the pod at home', async () => {
  const real = await remotePod('web');
  const at = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  await planes.provider.kube.create(
    {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'web.unhealthy', namespace: twin },
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Pod',
        name: 'web',
        namespace: twin,
        uid: real?.metadata.uid,
      },
      type: 'Warning',
      reason: 'Unhealthy',
      message: `Readiness probe of ${twin}/web failed on away-n1`,
      count: 2,
      firstTimestamp: at,
      lastTimestamp: at,
      source: { component: 'kubelet', host: 'away-n1' },
    } as AnyObject,
    planes.signal,
  );
  const uid = (await localPod('web'))?.metadata.uid;
  const event = await eventually('the event is at home', async () =>
    (await planes.consumer.kube.list(kind.event, { namespace: 'shop' }, planes.signal)).items.find(
      ({ reason, involvedObject }) => reason === 'Unhealthy' && involvedObject.uid === uid,
    ),
  );
  assert.is(event.message, `Readiness probe of shop/web failed on ${virtualNode}`);
  assert.equal(event.source, { component: 'kubelet', host: virtualNode });
  assert.is(event.count, 2);
});

test('a pod that no provider runs is refused at creation, with a remedy', async () => {
  const error = await create(pod('hostly', { hostNetwork: true })).then(
    () => undefined,
    (reason: unknown) => reason as Error,
  );
  assert.match(error?.message ?? '', /spec\.hostNetwork: .*--placement LocalAndRemote/);
});

test('a pod created right after namespace and offloading may run only at providers', async () => {
  for (let index = 0; index < 5; index++) {
    const namespace = `together-${index}`;
    await create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    await create({
      apiVersion: 'hawser.dev/v1alpha1',
      kind: 'NamespaceOffloading',
      metadata: { name: 'offloading', namespace },
      spec: { podPlacement: 'Remote' },
    });
    const made = (await create(pod('first', {}, namespace))) as Pod;
    assert.match(JSON.stringify(made.spec?.['affinity'] ?? {}), /hawser\.dev\/virtual-node/);
    await planes.consumer.kube.delete(
      { kind: kind.namespaceOffloading, namespace, name: 'offloading' },
      {},
      planes.signal,
    );
    await planes.consumer.kube.delete({ kind: kind.namespace, name: namespace }, {}, planes.signal);
  }
});

test('a refusal of the provider is reported on the pod', async () => {
  await create(
    pod('greedy', {
      containers: [{ name: 'main', image: 'pause', securityContext: { privileged: true } }],
    }),
  );
  const refused = await eventually('a condition', async () => {
    const found = await localPod('greedy');
    return podCondition(found, 'hawser.dev/Offloaded')?.reason === 'RefusedByProvider' ? found : undefined;
  });
  assert.is(refused.status?.phase, 'Failed', 'so that a controller makes another');
  assert.is(refused.status?.reason, 'RefusedByProvider');
  assert.match(refused.status?.message ?? '', /privileged/);
  const record = { kind: kind.shadowPod, namespace: twin, name: 'greedy' };
  await eventually(
    'its record is gone',
    async () => (await planes.provider.kube.get(record, planes.signal)) === undefined,
  );
});

test('a ReplicaSet whose pods are refused creates few, and waiting ones run when they are allowed', async () => {
  const container = { name: 'main', image: 'pause', securityContext: { privileged: true } };
  const replicaSet = {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'insistent', namespace: 'shop' },
    spec: {
      replicas: 4,
      selector: { matchLabels: { app: 'insistent' } },
      template: { metadata: { labels: { app: 'insistent' } }, spec: { containers: [container] } },
    },
  };
  await planes.consumer.kubectl(['create', '-f', '-'], { input: JSON.stringify(replicaSet) });
  const mine = async () => {
    const { items } = await planes.consumer.kube.list(kind.pod, { namespace: 'shop' }, planes.signal);
    return items.filter((each) => each.metadata.labels?.['app'] === 'insistent');
  };
  const waits = (each: Pod) => each.status?.phase === 'Pending' && each.status.reason === 'RefusedByProvider';
  await eventually('four wait', async () => (await mine()).filter(waits).length === 4);
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  const all = await mine();
  const failed = all.filter((each) => each.status?.phase === 'Failed');
  assert.ok(failed.length >= 1 && failed.length <= 3, `${failed.length} failed`);
  assert.is(all.length, failed.length + 4);
  const avoids = all.filter((each) => JSON.stringify(each.spec?.['affinity'] ?? {}).includes('"NotIn"'));
  assert.ok(avoids.length >= 1, 'pods that follow a failed one prefer other nodes');
  const incoming = { kind: kind.incomingPeering, name: consumerID };
  const level = (podSecurity: string) =>
    planes.provider.kube.patch(
      incoming,
      { spec: { grant: { podSecurity } } },
      { type: 'merge' },
      planes.signal,
    );
  await level('privileged');
  await eventually(
    'they are admitted',
    async () =>
      (await mine()).filter((each) => podCondition(each, 'hawser.dev/Offloaded')?.status === 'True').length >=
      3,
  );
  await level('baseline');
  await planes.consumer.kubectl(['delete', 'replicaset', 'insistent', '-n', 'shop', '--wait=false']);
});

test('a pod that tolerates everything but is not offloaded waits and reports why', async () => {
  await eventually('a service account', async () =>
    planes.consumer.kube.get(
      { kind: kind.serviceAccount, namespace: 'default', name: 'default' },
      planes.signal,
    ),
  );
  await create(pod('stray', { nodeName: virtualNode }, 'default'));
  await eventually('the reason', async () => {
    const found = await planes.consumer.kube.get<Pod>(
      { kind: kind.pod, namespace: 'default', name: 'stray' },
      planes.signal,
    );
    return found?.status?.reason === 'NamespaceNotOffloaded';
  });
  await planes.consumer.kube.delete(
    { kind: kind.pod, namespace: 'default', name: 'stray' },
    {},
    planes.signal,
  );
  await eventually(
    'it goes at once',
    async () =>
      (await planes.consumer.kube.get(
        { kind: kind.pod, namespace: 'default', name: 'stray' },
        planes.signal,
      )) === undefined,
  );
});

test('only objects that pods use are reflected', async () => {
  for (const name of ['settings', 'unused']) {
    await create({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'shop' },
      data: { colour: 'blue' },
    } as AnyObject);
  }
  await create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'keys', namespace: 'shop' },
    stringData: { key: 'x' },
  } as AnyObject);
  await create({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'shop' },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  });
  await create(
    pod('reader', {
      containers: [
        {
          name: 'main',
          image: 'pause',
          envFrom: [{ configMapRef: { name: 'settings' } }],
          env: [{ name: 'KEY', valueFrom: { secretKeyRef: { name: 'keys', key: 'key' } } }],
        },
      ],
    }),
  );
  const at = <T extends AnyObject>(of: (typeof kind)[keyof typeof kind], name: string) =>
    planes.provider.kube.get<T>({ kind: of as KindRef as KindRef<T>, namespace: twin, name }, planes.signal);
  await eventually('the ConfigMap', () => at(kind.configMap, 'settings'));
  await eventually('the Secret', () => at(kind.secret, 'keys'));
  const service = await eventually('the Service', () => at<Service>(kind.service, 'web'));
  assert.is(service.spec?.selector, undefined);
  assert.is(service.metadata.labels?.[labels.reflected], 'true');
  assert.is(await at(kind.configMap, 'unused'), undefined);
  const slices = await eventually('an endpoint in the provider’s terms', async () => {
    const { items } = await planes.provider.kube.list(
      kind.endpointSlice,
      { namespace: twin, labelSelector: 'kubernetes.io/service-name=web' },
      planes.signal,
    );
    return (
      items.some((slice) => slice.endpoints?.some((each) => each.addresses.includes('10.244.3.5'))) && items
    );
  });
  assert.is(slices.length, 1);
  await planes.consumer.kube.patch(
    { kind: kind.configMap, namespace: 'shop', name: 'settings' },
    { data: { colour: 'red' } },
    { type: 'merge' },
    planes.signal,
  );
  await eventually(
    'the change',
    async () =>
      (await at<{ data?: Record<string, string> } & AnyObject>(kind.configMap, 'settings'))?.data?.[
        'colour'
      ] === 'red',
    3000,
  );
  await planes.provider.kube.delete({ kind: kind.secret, namespace: twin, name: 'keys' }, {}, planes.signal);
  await eventually('what was removed there comes back', () => at(kind.secret, 'keys'), 5000);
  await planes.consumer.kube.delete({ kind: kind.pod, namespace: 'shop', name: 'reader' }, {}, planes.signal);
  await eventually(
    'unused objects are deleted',
    async () => (await at(kind.configMap, 'settings')) === undefined,
  );
  assert.ok(await at(kind.configMap, 'kube-root-ca.crt'));
});

test('a deleted pod disappears only after the provider has ended it', async () => {
  // Without a node the API server deletes a pod at once.
  const real = { kind: kind.pod, namespace: twin, name: 'web' };
  const target = { apiVersion: 'v1', kind: 'Node', name: 'away-n1' };
  await planes.provider.kube.createSubresource(
    real,
    'binding',
    { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'web', namespace: twin }, target },
    planes.signal,
  );
  await planes.consumer.kube.delete(
    { kind: kind.pod, namespace: 'shop', name: 'web' },
    { gracePeriodSeconds: 7 },
    planes.signal,
  );
  const ending = await eventually('the real pod is being ended', async () => {
    const found = await remotePod('web');
    return found?.metadata.deletionTimestamp === undefined ? undefined : found;
  });
  assert.is(ending.metadata.deletionGracePeriodSeconds, 7);
  assert.ok(await localPod('web'), 'not before');
  await planes.provider.kube.delete(real, { gracePeriodSeconds: 0 }, planes.signal);
  await eventually('gone there', async () => (await remotePod('web')) === undefined);
  await eventually('gone here', async () => (await localPod('web')) === undefined);
});

test('cordon stops new pods, and a cordon by an administrator is not changed', async () => {
  const desire = (desired: string) =>
    planes.consumer.kube.patch(
      { kind: kind.outgoingPeering, name: providerID },
      { spec: { desired } },
      { type: 'merge' },
      planes.signal,
    );
  await desire('Cordoned');
  await eventually('unschedulable', async () => (await node())?.spec?.unschedulable === true);
  await desire('Active');
  await eventually('schedulable', async () => (await node())?.spec?.unschedulable !== true);
});

test('unoffloading moves everything home', async () => {
  await planes.consumer.kube.delete(
    { kind: kind.namespaceOffloading, namespace: 'shop', name: 'offloading' },
    {},
    planes.signal,
  );
  await eventually('the object is gone', async () => (await offloading()) === undefined, 30_000);
  const namespace = await planes.consumer.kube.get({ kind: kind.namespace, name: 'shop' }, planes.signal);
  assert.is(namespace?.metadata.labels?.[labels.offloading], undefined);
  await eventually(
    'the twin is gone',
    async () =>
      (await planes.provider.kube.get({ kind: kind.namespace, name: twin }, planes.signal)) === undefined,
    30_000,
  );
});

test('unpeering removes the node and its lease', async () => {
  await planes.consumer.kube.delete({ kind: kind.outgoingPeering, name: providerID }, {}, planes.signal);
  await eventually('the peering is gone', async () => (await peering()) === undefined, 30_000);
  assert.is(await node(), undefined);
  assert.is(
    await planes.consumer.kube.get(
      { kind: kind.lease, namespace: 'kube-node-lease', name: virtualNode },
      planes.signal,
    ),
    undefined,
  );
});

test.run();
