/** What a hostile consumer writes into its twins by right: Services, Secrets, twins and endpoints that reach no further. */
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
  core,
  countedByServer,
  end,
  group,
  hawserNamespace,
  mallory,
  merge,
  note,
  refusalsCounted,
  refused,
  rulesIn,
  signal,
  tellTable,
  twinOf,
  withinGrant,
} from './hostile-setting.ts';

const test = suite('a hostile consumer: objects');

test.before(told(begin));
test.after(end);

test('objects that it may write reach no further', async () => {
  const reflected = { 'hawser.dev/reflected': 'true' };
  const service = (name: string, spec: object, labels: object = reflected) =>
    ask('POST', core(mallory.twin, 'services'), {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, labels },
      spec: { ports: [{ port: 80 }], ...spec },
    });
  assert.is((await service('plain', {})).status, 201);
  const patch = (spec: object) => ask('PATCH', core(mallory.twin, 'services/plain'), { spec }, merge);
  const secret = (type: string) =>
    ask('POST', core(mallory.twin, 'secrets'), {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: `s${type.length}`,
        labels: reflected,
        annotations: { 'kubernetes.io/service-account.name': 'default' },
      },
      type,
    });
  await refused('a Service of type NodePort', /ClusterIP/, service('a', { type: 'NodePort' }));
  await refused('a Service made a NodePort later', /ClusterIP/, patch({ type: 'NodePort' }));
  await refused('a Service of type LoadBalancer', /ClusterIP/, service('b', { type: 'LoadBalancer' }));
  await refused(
    'an alias of a name inside',
    /ClusterIP/,
    service('c', { type: 'ExternalName', externalName: 'kubernetes.default' }),
  );
  await refused('external IPs', /external addresses/, service('d', { externalIPs: ['192.0.2.1'] }));
  await refused('external IPs later', /external addresses/, patch({ externalIPs: ['192.0.2.1'] }));
  await refused('a Service without its label', /labelled/, service('e', {}, {}));
  await refused(
    'a Secret that Kubernetes fills with a token',
    /credentials/,
    secret('kubernetes.io/service-account-token'),
  );
  await refused('a bootstrap token', /credentials/, secret('bootstrap.kubernetes.io/token'));
  await refused(
    'the certificate authority that its pods trust',
    /only objects that it reflected/,
    ask(
      'PATCH',
      core(mallory.twin, 'configmaps/kube-root-ca.crt'),
      { data: { 'ca.crt': '' }, metadata: { labels: reflected } },
      merge,
    ),
  );
});

test('a twin is a new namespace, never somebody’s', async () => {
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
    await refused(`claim ${what}`, /ends in -mallory-aaaaaa/, ask('POST', path, claim));
    // And were there no policy.
    assert.is((await ask('POST', path, claim, {}, admin)).status, 201);
    const condition = await eventually('it is refused', async () => {
      const ref = { kind: kind.twinNamespace, namespace: mallory.tenant, name };
      return findCondition((await admin.get(ref, signal))?.status?.conditions, 'NameConflict');
    });
    assert.is(condition.status, 'True');
    note(`claim ${what}`, `tenant controller, condition NameConflict: ${condition.message.slice(0, 70)}…`);
  }
  const namespace = await admin.get({ kind: kind.namespace, name: alice.twin }, signal);
  assert.is(namespace?.metadata.labels?.['hawser.dev/origin'], alice.id);
  assert.not.ok((await rulesIn(alice.twin)).some((rule) => rule.includes('shadowpods')));
  const changed = await ask(
    'PATCH',
    group(apiVersion, mallory.tenant, 'twinnamespaces/shop'),
    { spec: { namespace: alice.twin } },
    merge,
  );
  assert.is(changed.status, 422);
  note(
    'point its own twin at another namespace later',
    'CEL rule of the kind: a TwinNamespace never changes',
  );
});

test('endpoints at addresses that are not its own are taken out, and its own stay', async () => {
  const slice = (name: string, addresses: string[], labels: object = { 'hawser.dev/reflected': 'true' }) =>
    ask('POST', group('discovery.k8s.io/v1', mallory.twin, 'endpointslices'), {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, labels: { ...labels, 'kubernetes.io/service-name': 'plain' } },
      addressType: 'IPv4',
      endpoints: addresses.map((address) => ({ addresses: [address] })),
      ports: [{ name: '', port: 80 }],
    });
  const left = async (name: string) =>
    (
      await admin.get({ kind: kind.endpointSlice, namespace: mallory.twin, name }, signal)
    )?.endpoints?.flatMap((endpoint) => endpoint.addresses);
  for (const [what, address] of [
    ['another tenant’s pod', '10.244.1.99'],
    ['a Service of the provider', '10.96.0.1'],
    ['a node, its kubelet or the API server there', '192.0.2.10'],
    ['somebody of the world', '203.0.113.7'],
  ] as const) {
    const name = `to-${address.replaceAll('.', '-')}`;
    const begun = performance.now();
    assert.is((await slice(name, [address, '10.128.3.4'])).status, 201);
    await eventually(`the endpoint at ${what} goes`, async () => (await left(name))?.join() === '10.128.3.4');
    note(
      `an endpoint at ${what}`,
      `tenant controller takes it out within ${Math.round(performance.now() - begun)} ms, event ForeignEndpoint`,
    );
  }
  await refused('an endpoint at the metadata service', /link-local/, slice('metadata', ['169.254.169.254']));
  await refused('an EndpointSlice without its label', /labelled/, slice('bare', ['10.128.3.4'], {}));
});

test('all of it is counted, and said on the peering', async () => {
  const condition = await eventually('WithinGrant is false', async () => {
    const one = await withinGrant(mallory);
    return one?.status === 'False' && one.message.includes('EndpointSlice') && one;
  });
  console.log(`\n  WithinGrant: ${condition.message}`);
  assert.is((await withinGrant(alice))?.status, 'True');
  assert.equal([await refusalsCounted('Twin'), await refusalsCounted('Endpoint')], [5, 4]);
  const denied = await countedByServer(
    /^apiserver_validating_admission_policy_check_total\{.*enforcement_action="deny".*policy="hawser-consumer.*\} (\d+)$/gm,
  );
  assert.ok(denied >= 9, `${denied} denied by policy`);
  console.log(`  the API server counts ${denied} requests denied by Hawser’s policies`);
});

test('the table', () => tellTable(22));

test.run();
