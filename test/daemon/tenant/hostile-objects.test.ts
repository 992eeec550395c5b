/**
 * Objects that a hostile consumer may write into its twin namespaces: Services, Secrets, twins and endpoints have no further
 * effect.
 */
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
  core,
  countedByServer,
  stopHostileConsumer,
  group,
  hawserNamespace,
  mallory,
  merge,
  recordAttempt,
  refusalsCounted,
  assertRefused,
  rulesIn,
  signal,
  printAttempts,
  twinOf,
  withinGrant,
} from './hostile-setting.ts';

const test = suite('a hostile consumer: objects');

test.before(logHookFailure(startHostileConsumer));
test.after(stopHostileConsumer);

test('objects that it may write have no further effect', async () => {
  const reflected = { 'hawser.dev/reflected': 'true' };
  const service = (name: string, spec: object, labels: object = reflected) =>
    send('POST', core(mallory.twin, 'services'), {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, labels },
      spec: { ports: [{ port: 80 }], ...spec },
    });
  assert.is((await service('plain', {})).status, 201);
  const patch = (spec: object) => send('PATCH', core(mallory.twin, 'services/plain'), { spec }, merge);
  const secret = (type: string) =>
    send('POST', core(mallory.twin, 'secrets'), {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: `s${type.length}`,
        labels: reflected,
        annotations: { 'kubernetes.io/service-account.name': 'default' },
      },
      type,
    });
  await assertRefused('a Service of type NodePort', /ClusterIP/, service('a', { type: 'NodePort' }));
  await assertRefused('a Service made a NodePort later', /ClusterIP/, patch({ type: 'NodePort' }));
  await assertRefused('a Service of type LoadBalancer', /ClusterIP/, service('b', { type: 'LoadBalancer' }));
  for (const externalName of [
    'vault.kube-system.svc.cluster.local',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local.',
    '10-244-1-5.kube-system.pod.cluster.local',
  ]) {
    const alias = service('c', { type: 'ExternalName', externalName });
    await assertRefused(`an alias of ${externalName}`, /leads to no name of a cluster/, alias);
  }
  await assertRefused(
    'a Service made an alias later',
    /leads to no name of a cluster/,
    patch({ type: 'ExternalName', externalName: 'vault.kube-system.svc.cluster.local' }),
  );
  await assertRefused('external IPs', /external addresses/, service('d', { externalIPs: ['192.0.2.1'] }));
  await assertRefused('external IPs later', /external addresses/, patch({ externalIPs: ['192.0.2.1'] }));
  await assertRefused('a Service without its label', /labelled/, service('e', {}, {}));
  await assertRefused(
    'a Secret that Kubernetes fills with a token',
    /credentials|annotations/,
    secret('kubernetes.io/service-account-token'),
  );
  await assertRefused(
    'a bootstrap token',
    /credentials|annotations/,
    secret('bootstrap.kubernetes.io/token'),
  );
  await assertRefused(
    'the certificate authority that its pods trust',
    /only objects that it reflected/,
    send(
      'PATCH',
      core(mallory.twin, 'configmaps/kube-root-ca.crt'),
      { data: { 'ca.crt': '' }, metadata: { labels: reflected } },
      merge,
    ),
  );
});

test('a twin namespace is always a new namespace', async () => {
  for (const [what, name, wanted] of [
    ['another tenant’s twin', 'theirs', alice.twin],
    ['another tenant’s tenant namespace', 'tenant', alice.tenant],
    ['Hawser’s namespace', 'hawser', hawserNamespace],
    ['kube-system', 'system', 'kube-system'],
    ['a system’s namespace that is not there yet', 'future', 'openshift-monitoring'],
  ] as const) {
    const claim = {
      ...twinOf(mallory, name, wanted),
      status: { namespace: wanted, conditions: [] },
    };
    const path = group(apiVersion, mallory.tenant, 'twinnamespaces');
    await assertRefused(`claim ${what}`, /ends in -mallory-aaaaaa/, send('POST', path, claim));
    // Even without the policy.
    assert.is((await send('POST', path, claim, {}, admin)).status, 201);
    const condition = await eventually('it is refused', async () => {
      const ref = { kind: kind.twinNamespace, namespace: mallory.tenant, name };
      return findCondition((await admin.get(ref, signal))?.status?.conditions, 'NameConflict');
    });
    assert.is(condition.status, 'True');
    recordAttempt(
      `claim ${what}`,
      `tenant controller, condition NameConflict: ${condition.message.slice(0, 70)}…`,
    );
  }
  const namespace = await admin.get({ kind: kind.namespace, name: alice.twin }, signal);
  assert.is(namespace?.metadata.labels?.['hawser.dev/origin'], alice.id);
  assert.not.ok((await rulesIn(alice.twin)).some((rule) => rule.includes('shadowpods')));
  const changed = await send(
    'PATCH',
    group(apiVersion, mallory.tenant, 'twinnamespaces/shop'),
    { spec: { namespace: alice.twin } },
    merge,
  );
  assert.is(changed.status, 403);
  // Even with the right.
  const forced = await send(
    'PATCH',
    group(apiVersion, mallory.tenant, 'twinnamespaces/shop'),
    { spec: { namespace: alice.twin } },
    merge,
    admin,
  );
  assert.is(forced.status, 422);
  recordAttempt(
    'point its own twin at another namespace later',
    'RBAC, and a CEL rule of the kind: a TwinNamespace never changes',
  );
});

test('endpoints at foreign addresses are never served, and its own are', async () => {
  const slice = (
    name: string,
    addresses: string[],
    labels: object = { 'hawser.dev/reflected': 'true', 'hawser.dev/service-name': 'plain' },
  ) =>
    send('POST', group('discovery.k8s.io/v1', mallory.twin, 'endpointslices'), {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, labels },
      addressType: 'IPv4',
      endpoints: addresses.map((address) => ({ addresses: [address] })),
      ports: [{ name: '', port: 80 }],
    });
  await assertRefused(
    'a slice of a Service, written by itself',
    /no labels but/,
    slice('own', ['10.128.3.4'], { 'hawser.dev/reflected': 'true', 'kubernetes.io/service-name': 'plain' }),
  );
  await assertRefused(
    'a slice that says that it was checked',
    /no labels but/,
    slice('own', ['10.128.3.4'], { 'hawser.dev/reflected': 'true', 'hawser.dev/served': 'true' }),
  );
  // All endpoints that the cluster's proxies and DNS received, starting before the first attempt.
  const ever = new Set<string>();
  const watching = new AbortController();
  const selection = { namespace: mallory.twin, labelSelector: 'kubernetes.io/service-name' };
  const { resourceVersion } = await admin.list(kind.endpointSlice, selection, signal);
  const seen = (async () => {
    const bounds = { timeoutSeconds: 300, idleTimeoutMilliseconds: 300_000 };
    const events = admin.watch(
      kind.endpointSlice,
      { ...selection, resourceVersion, ...bounds },
      watching.signal,
    );
    for await (const { object } of events)
      for (const { addresses } of object.endpoints ?? []) for (const each of addresses) ever.add(each);
  })().catch((error: unknown) => (watching.signal.aborted ? undefined : error));
  const served = async () =>
    (await admin.list(kind.endpointSlice, selection, signal)).items.flatMap((each) =>
      (each.endpoints ?? []).flatMap(({ addresses }) => addresses),
    );
  for (const [what, address] of [
    ['another tenant’s pod', '10.244.1.99'],
    ['a Service of the provider', '10.96.0.1'],
    ['a node, its kubelet or the API server there', '192.0.2.10'],
    ['an outside address', '203.0.113.7'],
  ] as const) {
    const before = (await served()).length;
    const name = `to-${address.replaceAll('.', '-')}`;
    assert.is((await slice(name, [address, '10.128.3.4'])).status, 201);
    assert.is((await slice(`${name}-home`, ['10.128.3.5'])).status, 201);
    await eventually('its own is served', async () => (await served()).length === before + 2);
    recordAttempt(
      `an endpoint at ${what}`,
      'tenant controller, which alone writes what serves; event ForeignEndpoint',
    );
  }
  await assertRefused(
    'an endpoint at the metadata service',
    /link-local/,
    slice('metadata', ['169.254.169.254']),
  );
  await assertRefused('an EndpointSlice without its label', /labelled/, slice('bare', ['10.128.3.4'], {}));
  const path = group('discovery.k8s.io/v1', mallory.twin, 'endpointslices');
  const { items } = await admin.list(kind.endpointSlice, selection, signal);
  await assertRefused(
    'a change of what serves',
    /only objects (that it reflected|labelled)/,
    send('PATCH', `${path}/${items[0]?.metadata.name}`, { endpoints: [{ addresses: ['10.96.0.1'] }] }, merge),
  );
  // Ten times per second, as long as it has the right.
  let writes = 0;
  await eventually('its right to write endpoints goes', async () => {
    writes += 1;
    const endpoints = [{ addresses: ['10.96.0.1'] }, { addresses: [`10.128.4.${writes % 250}`] }];
    return (await send('PATCH', `${path}/to-10-96-0-1`, { endpoints }, merge)).status === 403;
  });
  const found = await eventually('it is said', async () => {
    const peering = await admin.get({ kind: kind.incomingPeering, name: mallory.id }, signal);
    const condition = findCondition(peering?.status?.conditions, 'ObjectsAvailable');
    return condition?.reason === 'EndpointsRestrained' && condition;
  });
  recordAttempt('keeps naming the API server', `after ${writes} writes: ${found.message.slice(0, 80)}…`);
  assert.not.ok((await rulesIn(mallory.twin)).includes('create discovery.k8s.io/endpointslices *'));
  assert.ok((await rulesIn(mallory.twin)).includes('create /configmaps *'));
  watching.abort();
  assert.is(await seen, undefined);
  for (const each of ever) assert.match(each, /^10\.128\./);
  assert.ok(ever.size > 0);
});

test('labels and annotations that other programs act on are not accepted', async () => {
  const labels = { 'hawser.dev/reflected': 'true' };
  const meta: [what: string, metadata: object, pattern: RegExp][] = [
    [
      'a name in the provider’s public DNS zone',
      { annotations: { 'external-dns.alpha.kubernetes.io/hostname': 'www.example.com' } },
      /no annotations/,
    ],
    ['a scrape of whatever it likes', { annotations: { 'prometheus.io/scrape': 'true' } }, /no annotations/],
    ['a dashboard', { labels: { ...labels, grafana_dashboard: '1' } }, /no labels but/],
    ['a foreign finalizer', { finalizers: ['example.com/forever'] }, /no finalizers/],
    [
      'an owner',
      {
        ownerReferences: [
          { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'u', blockOwnerDeletion: true },
        ],
      },
      /no ownerReferences/,
    ],
  ];
  const pod = { podUID: 'u', pod: { containers: [{ name: 'm', image: 'x' }] } };
  const service = { ports: [{ port: 80 }] };
  const kinds: [path: string, object: object][] = [
    [core(mallory.twin, 'configmaps'), { apiVersion: 'v1', kind: 'ConfigMap' }],
    [core(mallory.twin, 'secrets'), { apiVersion: 'v1', kind: 'Secret' }],
    [core(mallory.twin, 'services'), { apiVersion: 'v1', kind: 'Service', spec: service }],
    [group(apiVersion, mallory.twin, 'shadowpods'), { apiVersion, kind: 'ShadowPod', spec: pod }],
    [
      group(apiVersion, mallory.tenant, 'twinnamespaces'),
      { ...twinOf(mallory, 'meta', `meta-${mallory.id}`), metadata: undefined },
    ],
  ];
  for (const [path, object] of kinds) {
    for (const [what, metadata, pattern] of meta) {
      const name = path.split('/').at(-1) ?? '';
      await assertRefused(
        `${what} on ${name}`,
        pattern,
        send('POST', path, { ...object, metadata: { name: 'meta', labels, ...metadata } }),
      );
    }
    const { message, status } = await send('POST', path, { ...object, metadata: { name: 'meta', labels } });
    assert.is(status, 201, message);
    // It has no right to change a TwinNamespace.
    const later = (pattern: RegExp) => (path.endsWith('/twinnamespaces') ? /cannot patch/ : pattern);
    for (const [what, metadata, pattern] of meta)
      await assertRefused(
        `${what}, later`,
        later(pattern),
        send('PATCH', `${path}/meta`, { metadata }, merge),
      );
  }
});

test('field managers, which are stored with the object, are bounded', async () => {
  const path = core(mallory.twin, 'configmaps/managed');
  const labels = { 'hawser.dev/reflected': 'true' };
  const applied = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'managed', labels },
    data: { a: 'b' },
  };
  const apply = (manager: number) =>
    send('PATCH', `${path}?fieldManager=m${manager}&force=true`, applied, {
      contentType: 'application/apply-patch+yaml',
    });
  for (let manager = 0; manager < 16; manager++) {
    const { status, message } = await apply(manager);
    assert.ok(status === 200 || status === 201, `manager ${manager}: ${status} ${message}`);
  }
  const { status, message } = await apply(16);
  assert.is(status, 403, message);
  recordAttempt(
    'a list of fields for each of many managers',
    'ValidatingAdmissionPolicy: 16 field managers at most',
  );
});

test('exceeding its bytes suspends its right to write, and deleting objects restores it', async () => {
  const labels = { 'hawser.dev/reflected': 'true' };
  const path = group(apiVersion, mallory.twin, 'shadowpods');
  const pod = { containers: [{ name: 'm', image: 'x', env: [{ name: 'E', value: 'x'.repeat(1_200_000) }] }] };
  let made = 0;
  await eventually(
    'the right goes',
    async () => {
      const { status } = await send('POST', path, {
        apiVersion,
        kind: 'ShadowPod',
        metadata: { name: `fat-${made}`, labels },
        spec: { podUID: 'u', pod },
      });
      if (status === 201) made += 1;
      return status === 403 && !(await rulesIn(mallory.twin)).includes('create hawser.dev/shadowpods *');
    },
    60_000,
  );
  // 16 MiB plus a quarter for each pod, plus writes until the controller has seen them.
  assert.ok(made >= 14 && made <= 30, `${made} were made`);
  const condition = await eventually('it is said', async () => {
    const peering = await admin.get({ kind: kind.incomingPeering, name: mallory.id }, signal);
    const found = findCondition(peering?.status?.conditions, 'ObjectsAvailable');
    return found?.reason === 'BytesExhausted' && found;
  });
  recordAttempt(`${made} records of 1.2 MB`, `tenant controller: ${condition.message.slice(0, 90)}…`);
  assert.ok((await rulesIn(mallory.twin)).includes('delete hawser.dev/shadowpods *'));
  assert.is(
    (await admin.get({ kind: kind.incomingPeering, name: alice.id }, signal))?.status?.conditions?.find(
      ({ type }) => type === 'ObjectsAvailable',
    )?.status,
    'True',
  );
  for (let index = 0; index < made; index++) await send('DELETE', `${path}/fat-${index}`);
  await eventually('it may write again', async () =>
    (await rulesIn(mallory.twin)).includes('create hawser.dev/shadowpods *'),
  );
});

test('all refusals are counted, and reported in the peering', async () => {
  const condition = await eventually('WithinGrant is false', async () => {
    const one = await withinGrant(mallory);
    // The latest one is shown; the attempts above are at least nine.
    return one?.status === 'False' && Number(/refused: (\d+)/.exec(one.message)?.[1]) >= 9 && one;
  });
  console.log(`\n  WithinGrant: ${condition.message}`);
  assert.is((await withinGrant(alice))?.status, 'True');
  assert.equal([await refusalsCounted('Twin'), (await refusalsCounted('Endpoint')) >= 4], [5, true]);
  const denied = await countedByServer(
    /^apiserver_validating_admission_policy_check_total\{.*enforcement_action="deny".*policy="hawser-consumer.*\} (\d+)$/gm,
  );
  assert.ok(denied >= 9, `${denied} denied by policy`);
  console.log(`  the API server counts ${denied} requests denied by Hawser’s policies`);
});

test('the table of attempts is printed', () => printAttempts(22));

test.run();
