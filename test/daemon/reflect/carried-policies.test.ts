/**
 * A consumer's network policies at its provider, between two real control planes. There is no CNI: the tests read the created
 * policies.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  isForbidden,
  kind,
  type AnyObject,
  type KubeClient,
  type NetworkPolicy,
  type Pod,
  type Secret,
} from '../../../daemon/kube/index.ts';
import { runReflection } from '../../../daemon/reflect/index.ts';
import { runVirtualNodes } from '../../../daemon/vnode/index.ts';
import type { NamespaceOffloading } from '../../../shared/api/offloading.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { secrets, twinName } from '../../../shared/names.ts';
import * as testbed from '../../testbed/index.ts';
import {
  consumerID,
  hawserNamespace,
  meet,
  playKubelet,
  providerID,
  upPlanes,
  virtualNode,
  type Planes,
} from '../vnode/planes.ts';
import { eventually } from '../../support/eventually.ts';
import { connectKube } from '../../../daemon/clients/kubernetes/index.ts';

const test = suite('reflection of network policies');
const apiVersion = 'hawser.dev/v1alpha1';
const twin = twinName('shop', consumerID);
const restricted = 'policy.hawser.dev/restricted-ingress';
/** On a busy machine a change takes long through two API servers. */
const debouncer = 60_000;

let planes: Planes;
const atHome = (object: object) => planes.consumer.kube.create(object as AnyObject, planes.signal);
const pod = (name: string, labels: Record<string, string>, more: object = {}, namespace = 'shop') => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels },
  spec: {
    containers: [{ name: 'main', image: 'pause', ports: [{ name: 'http', containerPort: 8080 }] }],
    terminationGracePeriodSeconds: 1,
    ...more,
  },
});
const relabel = (name: string, labels: Record<string, string | null>) =>
  planes.consumer.kube.patch(
    { kind: kind.pod, namespace: 'shop', name },
    { metadata: { labels } },
    { type: 'merge' },
    planes.signal,
  );
/** Gives a pod at home an address, as a kubelet would. */
const address = (name: string, ip: string) =>
  planes.consumer.kube.patch<Pod>(
    { kind: kind.pod, namespace: 'shop', name },
    { status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] } },
    { type: 'merge', subresource: 'status' },
    planes.signal,
  );
const made = (name: string) =>
  planes.provider.kube.get<NetworkPolicy>({ kind: kind.networkPolicy, namespace: twin, name }, planes.signal);
const remotePod = (name: string) =>
  planes.provider.kube.get<Pod>({ kind: kind.pod, namespace: twin, name }, planes.signal);
const blocksOf = (policy: NetworkPolicy | undefined, direction: 'ingress' | 'egress' = 'ingress') => {
  const rules = (policy?.spec?.[direction] ?? []) as Record<string, { ipBlock?: { cidr: string } }[]>[];
  return rules.flatMap((rule) =>
    (rule['from'] ?? rule['to'] ?? []).flatMap((each) => each.ipBlock?.cidr ?? []),
  );
};
const said = async () => {
  const ref = { kind: kind.namespaceOffloading, namespace: 'shop', name: 'offloading' };
  const found = await planes.consumer.kube.get<NamespaceOffloading>(ref, planes.signal);
  return findCondition(found?.status?.conditions, 'NetworkPoliciesHold');
};

test.before(async () => {
  planes = await upPlanes(testbed);
  const { provider, consumer, signal } = planes;
  // Facts that fabric/ and peering/ know at the provider.
  const self = { apiVersion, kind: 'LocalCluster', metadata: { name: 'self' }, spec: {} };
  await provider.kube.create(self, signal);
  const status = {
    clusterID: providerID,
    podCIDRs: ['10.244.0.0/16'],
    serviceCIDRs: ['10.96.0.0/16'],
    nodeCIDRs: ['192.0.2.0/24'],
  };
  await provider.kube.apply(
    { ...self, status } as never,
    { fieldManager: 'test', subresource: 'status' },
    signal,
  );
  await provider.kube.create(
    {
      apiVersion,
      kind: 'Tunnel',
      metadata: { name: consumerID },
      spec: {
        remoteCluster: consumerID,
        consumer: false,
        provider: true,
        remotePodCIDRs: ['10.244.0.0/16'],
        remoteExternalCIDR: '100.66.0.0/20',
        remoteTunnelEndpoints: [],
        remaps: [{ real: '10.244.0.0/16', mapped: '10.200.0.0/16', state: 'InUse' }],
        remoteRemaps: [],
        mtu: 1380,
        presharedKeyRevision: '1',
      },
    },
    signal,
  );
  planes.started.push(runVirtualNodes(consumer.context, signal), runReflection(consumer.context, signal));
  await meet(planes);
  await atHome({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  await atHome({
    apiVersion,
    kind: 'NamespaceOffloading',
    metadata: { name: 'offloading', namespace: 'shop' },
    spec: { podPlacement: 'LocalAndRemote' },
  });
  await eventually('an account', () =>
    consumer.kube.get({ kind: kind.serviceAccount, namespace: 'shop', name: 'default' }, signal),
  );
  await atHome(pod('web', { app: 'web', 'example.com/tier': 'front' }, { nodeName: virtualNode }));
  await eventually('the real pod', () => remotePod('web'), debouncer);
  await playKubelet(planes, twin, 'web', '10.244.3.4');
  await atHome(pod('client', { app: 'client' }));
  await address('client', '10.244.1.2');
});
test.after(() => planes?.stop());

test('without policies a pod has the twin namespace’s default access', async () => {
  for (const name of ['hawser-isolation', 'hawser-default-ingress', 'hawser-default-egress'])
    assert.ok(await made(name), name);
  const real = await remotePod('web');
  assert.is(real?.metadata.labels?.['label.hawser.dev/example.com_tier'], 'front');
  assert.is(real?.metadata.labels?.[restricted], undefined);
  assert.is((await said())?.reason, 'NoPolicies');
});

test('a policy’s peers become labels for pods at the provider and addresses for pods at home', async () => {
  await atHome({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      podSelector: { matchLabels: { 'example.com/tier': 'front' } },
      policyTypes: ['Ingress'],
      ingress: [
        {
          from: [{ podSelector: { matchLabels: { app: 'client' } } }],
          ports: [{ protocol: 'TCP', port: 'http' }],
        },
      ],
    },
  });
  const policy = await eventually(
    'the NetworkPolicy with the address of the client',
    async () => {
      const found = await made('carried-web');
      return blocksOf(found).includes('10.200.1.2/32') && found;
    },
    debouncer,
  );
  assert.equal(policy.spec, {
    podSelector: { matchLabels: { 'label.hawser.dev/example.com_tier': 'front' } },
    policyTypes: ['Ingress'],
    ingress: [
      {
        from: [
          { ipBlock: { cidr: '10.200.1.2/32' } },
          {
            namespaceSelector: {
              matchLabels: { 'hawser.dev/origin': consumerID },
              matchExpressions: [{ key: 'hawser.dev/origin-namespace', operator: 'In', values: ['shop'] }],
            },
            podSelector: { matchLabels: { app: 'client' } },
          },
        ],
        ports: [{ protocol: 'TCP', port: 'http' }],
      },
    ],
  });
  await eventually(
    'the default no longer holds for the pod',
    async () => (await remotePod('web'))?.metadata.labels?.[restricted] === 'true',
    debouncer,
  );
  const condition = await eventually(
    'it is said',
    async () => {
      const found = await said();
      return found?.message.includes(`At ${providerID} they are carried`) && found;
    },
    debouncer,
  );
  assert.is(condition.status, 'Unknown');
});

test('changes of pods and labels at home are reflected', async () => {
  await atHome(pod('second', { app: 'client' }));
  await address('second', '10.244.1.3');
  await eventually(
    'the second client is let in',
    async () => blocksOf(await made('carried-web')).join() === '10.200.1.2/32,10.200.1.3/32',
    debouncer,
  );
  await relabel('client', { app: 'stranger' });
  await eventually(
    'the first is not any more',
    async () => blocksOf(await made('carried-web')).join() === '10.200.1.3/32',
    debouncer,
  );
  await planes.consumer.kube.delete({ kind: kind.pod, namespace: 'shop', name: 'second' }, {}, planes.signal);
  await eventually('nobody is', async () => blocksOf(await made('carried-web')).length === 0, debouncer);
});

test('a pod at the provider whose labels change is selected by other policies', async () => {
  await relabel('web', { 'example.com/tier': null, role: 'back' });
  await eventually(
    'the labels are those of home, and the default holds again',
    async () => {
      const labels = (await remotePod('web'))?.metadata.labels ?? {};
      return (
        labels['role'] === 'back' &&
        labels['label.hawser.dev/example.com_tier'] === undefined &&
        labels[restricted] === undefined
      );
    },
    debouncer,
  );
  await relabel('web', { 'example.com/tier': 'front', role: null });
  await eventually(
    'selected again',
    async () => (await remotePod('web'))?.metadata.labels?.[restricted] === 'true',
    debouncer,
  );
});

test('a hostile consumer’s policies open nothing that isolation closes', async () => {
  const ref = { kind: kind.secret, namespace: hawserNamespace, name: secrets.identity(providerID) };
  const { data } = (await planes.consumer.kube.get<Secret>(ref, planes.signal)) ?? {};
  const identity = Buffer.from(data?.['identity.json'] ?? '', 'base64').toString();
  const { token } = JSON.parse(identity) as { token: string };
  const hostile: KubeClient = connectKube({
    url: planes.provider.url,
    ca: planes.provider.ca,
    token: () => token,
  });
  try {
    const metadata = { name: 'open', namespace: twin };
    const spec = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] };
    await hostile
      .create({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec }, planes.signal)
      .then(
        () => assert.unreachable('a consumer wrote a NetworkPolicy'),
        (error: unknown) => assert.ok(isForbidden(error), String(error)),
      );
    const peers = [
      '10.244.0.0/16',
      '10.96.0.1/32',
      '192.0.2.10/32',
      '169.254.169.254/32',
      '10.200.9.9/32',
    ].map((cidr) => ({ block: { cidr } }));
    await hostile.create(
      {
        apiVersion,
        kind: 'ShadowPolicy',
        metadata,
        spec: { ...spec, ingress: [{ peers }], egress: [{ peers }] },
      },
      planes.signal,
    );
    const policy = await eventually('a NetworkPolicy', () => made('carried-open'), debouncer);
    assert.equal(blocksOf(policy), ['10.200.9.9/32']);
    assert.equal(blocksOf(policy, 'egress'), ['10.200.9.9/32']);
    const condition = await eventually(
      'what was cut is said',
      async () => {
        const found = await planes.provider.kube.get(
          { kind: kind.shadowPolicy, namespace: twin, name: 'open' },
          planes.signal,
        );
        return findCondition(found?.status?.conditions, 'Carried');
      },
      debouncer,
    );
    assert.is(condition.reason, 'CarriedInPart');
    assert.match(condition.message, /without 8 peers/);
    await hostile.delete({ kind: kind.shadowPolicy, namespace: twin, name: 'open' }, {}, planes.signal);
  } finally {
    hostile.close();
  }
});

test('a deleted policy is deleted there, and the default applies again', async () => {
  await planes.consumer.kube.delete(
    { kind: kind.networkPolicy, namespace: 'shop', name: 'web' },
    {},
    planes.signal,
  );
  await eventually(
    'the NetworkPolicy is gone',
    async () => (await made('carried-web')) === undefined,
    debouncer,
  );
  await eventually(
    'the default holds',
    async () => (await remotePod('web'))?.metadata.labels?.[restricted] === undefined,
    debouncer,
  );
  await eventually('it is said', async () => (await said())?.reason === 'NoPolicies', debouncer);
});

test.run();
