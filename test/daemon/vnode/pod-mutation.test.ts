import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Pod } from '../../../daemon/kube/index.ts';
import { mutatePod } from '../../../daemon/vnode/pod-mutation.ts';
import { registration } from '../../../daemon/vnode/webhook-registration.ts';
import { selects } from '../../../daemon/peers/offloaded.ts';
import { desiredTwin, planTwin, summarise } from '../../../daemon/vnode/twin-plan.ts';
import { condition as conditionWith, pod as podWith } from '../../support/objects.ts';

const test = suite('placement of new pods');
const pod = (spec: Record<string, unknown> = {}, metadata: Partial<Pod['metadata']> = {}) =>
  podWith({ spec: { containers: [], ...spec }, metadata });
const toleration = { key: 'hawser.dev/virtual-node', operator: 'Exists', effect: 'NoSchedule' };
const onVirtual = { key: 'hawser.dev/virtual-node', operator: 'In', values: ['true'] };
const onOrdinary = { key: 'hawser.dev/virtual-node', operator: 'DoesNotExist' };
const affinityOf = (operations: ReturnType<typeof mutatePod>) => {
  const value = operations.find((each) => each.path === '/spec/affinity')?.value as
    | { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: unknown[] } } }
    | undefined;
  return value?.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms;
};

test('nodes whose provider refused pods of the same owner are avoided where others fit', () => {
  const preference = {
    weight: 100,
    preference: {
      matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: ['hawser-a'] }],
    },
  };
  const own = {
    weight: 7,
    preference: { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] },
  };
  const affinity = {
    nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [own] },
    podAffinity: {},
  };
  const either = mutatePod(pod({ affinity }), { podPlacement: 'LocalAndRemote' }, ['hawser-a']);
  assert.equal(either.find(({ path }) => path === '/spec/affinity')?.value, {
    podAffinity: {},
    nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [own, preference] },
  });
  const remote = mutatePod(pod(), { podPlacement: 'Remote' }, ['hawser-a']);
  assert.equal(remote.find(({ path }) => path === '/spec/affinity')?.value, {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [onVirtual] }],
      },
      preferredDuringSchedulingIgnoredDuringExecution: [preference],
    },
  });
});
test('Local: no change', () => assert.equal(mutatePod(pod(), { podPlacement: 'Local' }), []));
test('LocalAndRemote: tolerates the taint, and runs where it fits', () => {
  assert.equal(mutatePod(pod(), { podPlacement: 'LocalAndRemote' }), [
    { op: 'add', path: '/spec/tolerations', value: [toleration] },
  ]);
});
test('LocalAndRemote with a selector: ordinary nodes, or matching virtual nodes', () => {
  const operations = mutatePod(pod(), {
    podPlacement: 'LocalAndRemote',
    clusterSelector: { matchLabels: { region: 'eu' } },
  });
  assert.equal(affinityOf(operations), [
    { matchExpressions: [onOrdinary] },
    { matchExpressions: [onVirtual, { key: 'region', operator: 'In', values: ['eu'] }] },
  ]);
});
test('Remote: virtual nodes only', () => {
  assert.equal(affinityOf(mutatePod(pod(), { podPlacement: 'Remote' })), [{ matchExpressions: [onVirtual] }]);
});
test('all alternatives of the pod’s own affinity stay', () => {
  const request = (key: string) => ({ matchExpressions: [{ key, operator: 'Exists' }] });
  const affinity = {
    podAffinity: { x: 1 },
    nodeAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [],
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [request('a'), request('b')] },
    },
  };
  const operations = mutatePod(pod({ affinity, tolerations: [{ key: 'x' }] }), { podPlacement: 'Remote' });
  assert.equal(affinityOf(operations), [
    { matchExpressions: [...request('a').matchExpressions, onVirtual] },
    { matchExpressions: [...request('b').matchExpressions, onVirtual] },
  ]);
  const value = operations.find((each) => each.path === '/spec/affinity')?.value as typeof affinity;
  assert.equal(value.podAffinity, { x: 1 });
  assert.ok(value.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution);
  assert.equal(operations[0], { op: 'add', path: '/spec/tolerations/-', value: toleration });
});
test('a pod that already tolerates the taint is not changed', () => {
  for (const present of [
    toleration,
    { operator: 'Exists' },
    { key: toleration.key, operator: 'Equal', value: 'true' },
  ]) {
    assert.equal(mutatePod(pod({ tolerations: [present] }), { podPlacement: 'LocalAndRemote' }), []);
  }
});
test('pods that belong to one node are not changed', () => {
  const owned = (kind: string) => ({
    ownerReferences: [{ apiVersion: 'apps/v1', kind, name: 'x', uid: 'x', controller: true }],
  });
  assert.equal(mutatePod(pod({}, owned('DaemonSet')), { podPlacement: 'Remote' }), []);
  assert.equal(mutatePod(pod({ nodeName: 'n1' }), { podPlacement: 'Remote' }), []);
  assert.ok(mutatePod(pod({}, owned('ReplicaSet')), { podPlacement: 'Remote' }).length > 0);
});

test('the webhook fails open where pods may run at home, and closed where they may not', () => {
  const { webhooks } = registration('hawser-system', 'pem') as unknown as {
    webhooks: { name: string; failurePolicy: string; rules: { resources: string[] }[] }[];
  };
  const policy = Object.fromEntries(
    webhooks.map(({ name, failurePolicy, rules }) => [name, [failurePolicy, rules[0]?.resources[0]]]),
  );
  assert.equal(policy, {
    'local-and-remote.pods.hawser.dev': ['Ignore', 'pods'],
    'remote.pods.hawser.dev': ['Fail', 'pods'],
    'offloadings.hawser.dev': ['Ignore', 'namespaceoffloadings'],
  });
});

const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', uid: 'n1' } };
const offloading = {
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'NamespaceOffloading',
  metadata: { name: 'offloading', namespace: 'shop' },
  spec: { podPlacement: 'Remote' as const },
};
const wanted = desiredTwin(namespace, offloading, 'home', {
  tenantNamespace: 'hawser-tenant-home',
  peering: 'default',
});
const condition = (type: string, status: 'True' | 'False', message = 'because') =>
  conditionWith(type, status, { message });
test('twin namespaces: created, awaited, replaced', () => {
  assert.is(wanted.spec.namespace, 'shop-home');
  assert.is(planTwin(undefined, wanted).action, 'Create');
  const waiting = planTwin(wanted, wanted);
  assert.is(waiting.action, 'None');
  assert.is(waiting.finding.status, 'False');
  const bound = planTwin(
    { ...wanted, status: { namespace: 'shop-home', conditions: [condition('Bound', 'True')] } },
    wanted,
  );
  assert.is(bound.finding.status, 'True');
  const conflict = planTwin(
    {
      ...wanted,
      status: { conditions: [condition('Bound', 'False'), condition('NameConflict', 'True', 'taken')] },
    },
    wanted,
  );
  assert.is(conflict.finding.message, 'taken');
  assert.is(planTwin({ ...wanted, spec: { ...wanted.spec, sourceUID: 'n0' } }, wanted).action, 'Delete');
  const leaving = { ...wanted, metadata: { ...wanted.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  assert.is(planTwin(leaving, wanted).action, 'None');
});
test('two peerings with one provider have twins of different names', () => {
  const second = { tenantNamespace: 'hawser-tenant-home-gpu', peering: 'gpu' };
  const named = (twinNamespace: string) => ({ ...offloading, spec: { ...offloading.spec, twinNamespace } });
  const nameOf = (each: typeof offloading, peering: string) =>
    desiredTwin(namespace, each, 'home', { ...second, peering }).spec.namespace;
  assert.is(nameOf(offloading, 'default'), 'shop-home');
  assert.is(nameOf(offloading, 'gpu'), 'shop-home-gpu');
  assert.is(nameOf(named('stall-home'), 'default'), 'stall-home');
  assert.is(nameOf(named('stall-home'), 'gpu'), 'stall-home-gpu');
  const long = `${'a'.repeat(58)}-home`;
  assert.is(nameOf(named(long), 'gpu').length, 63);
  assert.match(nameOf(named(long), 'gpu'), /-home-gpu$/);
  assert.is.not(nameOf(named(long), 'gpu'), nameOf(named(long), 'tpu'));
  const grant = {
    cpu: '1',
    memory: '1Gi',
    pods: 1,
    podSecurity: 'baseline' as const,
    twinNamespaces: ['stall'],
  };
  const listed = desiredTwin(namespace, named('stall'), 'home', { ...second, grant });
  assert.is(listed.spec.namespace, 'stall');
});
test('a name that the provider does not allow is not requested, and the condition reports why', () => {
  const named = { ...wanted, spec: { ...wanted.spec, namespace: 'com' } };
  const refused = planTwin(undefined, named, { suffix: '-home', listed: [] });
  assert.is(refused.action, 'None');
  assert.is(refused.finding.reason, 'TwinNameNotGranted');
  assert.match(refused.finding.message, /must end in -home, or be listed in the grant/);
  assert.is(planTwin(undefined, named, { suffix: '-home', listed: ['com'] }).action, 'Create');
  assert.is(planTwin(undefined, wanted, { suffix: '-home', listed: [] }).action, 'Create');
});
test('selectors, and the condition of all twin namespaces together', () => {
  assert.ok(selects(undefined, {}));
  assert.ok(selects({ matchLabels: { a: 'b' } }, { a: 'b', c: 'd' }));
  assert.not(selects({ matchLabels: { a: 'b' } }, { a: 'c' }));
  const finding = (status: 'True' | 'False') => ({ type: 'Bound', status, reason: 'R', message: 'm' });
  assert.is(summarise([]).reason, 'NoProvider');
  assert.is(summarise([{ peering: 'farm', finding: finding('True') }]).status, 'True');
  assert.is(
    summarise([
      { peering: 'farm', finding: finding('True') },
      { peering: 'barn', finding: finding('False') },
    ]).message,
    'barn: m',
  );
});

test.run();
