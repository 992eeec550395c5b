/**
 * The rights of a hostile consumer's identity: all rights that the API server reports, refused requests, and how soon the
 * identity is invalid after a revocation.
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
  container,
  core,
  countedByServer,
  stopHostileConsumer,
  group,
  hawserNamespace,
  hostile,
  renewIdentity,
  mallory,
  merge,
  plane,
  assertRefused,
  rulesIn,
  shadowOf,
  signal,
  printAttempts,
  twinOf,
} from './hostile-setting.ts';

const test = suite('a hostile consumer: identity');

test.before(logHookFailure(startHostileConsumer));
test.after(stopHostileConsumer);

const each = (verbs: string, ...resources: string[]) =>
  resources.flatMap((resource) => verbs.split(' ').map((verb) => `${verb} ${resource} *`));
const everything = 'get list watch create update patch delete';
/** DESIGN: "in the tenant namespace, TwinNamespaces and its lease". */
const mayInTenant = [
  ...each('list watch create delete', 'hawser.dev/twinnamespaces'),
  ...each('create patch', 'coordination.k8s.io/leases'),
].sort();
/** DESIGN: "in twins, ShadowPods and the reflected kinds, and logs/exec/attach/port-forward of pods". */
const mayInTwin = [
  ...each(
    everything,
    'hawser.dev/shadowpods',
    'hawser.dev/shadowpolicies',
    '/configmaps',
    '/secrets',
    '/services',
    'discovery.k8s.io/endpointslices',
  ),
  ...each('list watch', '/events'),
  ...each('get', '/pods/log'),
  ...each('get create', '/pods/exec', '/pods/attach', '/pods/portforward'),
].sort();
/** Self-service requests that Kubernetes allows to all authenticated users (ClusterRole system:basic-user). */
const mayAnybody = [
  ...each(
    'create',
    'authorization.k8s.io/selfsubjectaccessreviews',
    'authorization.k8s.io/selfsubjectrulesreviews',
  ),
  ...each('create', 'authentication.k8s.io/selfsubjectreviews'),
].sort();

test('the identity has exactly the intended rights, and none in other namespaces', async () => {
  const foreign = [hawserNamespace, 'default', 'kube-system', alice.tenant, alice.twin];
  assert.equal(await rulesIn(mallory.tenant), [...mayInTenant, ...mayAnybody].sort());
  assert.equal(await rulesIn(mallory.twin), [...mayInTwin, ...mayAnybody].sort());
  for (const namespace of foreign) assert.equal(await rulesIn(namespace), mayAnybody, namespace);
});

test('for every resource and verb of the API server the identity has no further rights', async () => {
  const listing = await plane.kubectl(['api-resources', '--no-headers', '-o', 'name']);
  const names = listing.trim().split('\n');
  const resources = [
    ...names.map((name) => {
      const dot = name.indexOf('.');
      return dot < 0
        ? { group: '', resource: name }
        : { group: name.slice(dot + 1), resource: name.slice(0, dot) };
    }),
    { group: '', resource: 'pods', subresource: 'ephemeralcontainers' },
    { group: '', resource: 'pods', subresource: 'eviction' },
    { group: '', resource: 'pods', subresource: 'status' },
    { group: '', resource: 'pods', subresource: 'proxy' },
    { group: '', resource: 'pods', subresource: 'exec' },
    { group: '', resource: 'nodes', subresource: 'proxy' },
    { group: '', resource: 'services', subresource: 'proxy' },
    { group: '', resource: 'services', subresource: 'status' },
    { group: '', resource: 'serviceaccounts', subresource: 'token' },
    { group: 'hawser.dev', resource: 'shadowpods', subresource: 'status' },
    { group: 'hawser.dev', resource: 'twinnamespaces', subresource: 'status' },
    { group: 'hawser.dev', resource: 'incomingpeerings', subresource: 'status' },
  ] as { group: string; resource: string; subresource?: string }[];
  const verbs = [...everything.split(' '), 'deletecollection', 'impersonate', 'bind', 'escalate', 'approve'];
  const questions = ['', 'default', hawserNamespace, alice.twin, mallory.tenant, mallory.twin].flatMap(
    (namespace) =>
      resources.flatMap((resource) =>
        verbs.map((verb) => ({ ...resource, verb, ...(namespace && { namespace }) })),
      ),
  );
  const allowed: string[] = [];
  const next = questions.values();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const attributes of next) {
        const { text } = await send('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: { resourceAttributes: attributes },
        });
        const { status } = JSON.parse(text) as { status: { allowed: boolean } };
        const { namespace = '', group: apiGroup, resource, subresource, verb } = attributes;
        const whole = subresource === undefined ? resource : `${resource}/${subresource}`;
        if (status.allowed) allowed.push(`${namespace}: ${verb} ${apiGroup}/${whole} *`);
      }
    }),
  );
  const expected = new Set([
    ...mayInTenant.map((line) => `${mallory.tenant}: ${line}`),
    ...mayInTwin.map((line) => `${mallory.twin}: ${line}`),
  ]);
  const more = allowed.filter(
    (line) => !expected.has(line) && !mayAnybody.includes(line.replace(/^[^:]*: /, '')),
  );
  assert.equal(more, []);
  console.log(
    `\n  ${questions.length} questions asked, ${allowed.length} allowed, ${more.length} beyond the design`,
  );
});

test('requests without rights are refused', async () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'own' }, spec: { containers: [container] } };
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'more' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'admin' },
    subjects: [{ kind: 'ServiceAccount', name: 'consumer', namespace: mallory.tenant }],
  };
  const rbac = /cannot \w+ resource|cannot impersonate/;
  const attempts: [string, ReturnType<typeof send>][] = [
    ['create a pod in its twin', send('POST', core(mallory.twin, 'pods'), pod)],
    ['create a pod elsewhere', send('POST', core('default', 'pods'), pod)],
    [
      'bind itself a role',
      send('POST', group('rbac.authorization.k8s.io/v1', mallory.twin, 'rolebindings'), binding),
    ],
    [
      'create a namespace',
      send('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x' } }),
    ],
    [
      'relabel its twin',
      send(
        'PATCH',
        `/api/v1/namespaces/${mallory.twin}`,
        { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } } },
        merge,
      ),
    ],
    [
      'raise its quota',
      send(
        'PATCH',
        core(mallory.twin, 'resourcequotas/hawser-grant'),
        { spec: { hard: { pods: '1000' } } },
        merge,
      ),
    ],
    [
      'delete its network policy',
      send('DELETE', group('networking.k8s.io/v1', mallory.twin, 'networkpolicies/hawser-isolation')),
    ],
    [
      'raise its grant',
      send(
        'PATCH',
        `/apis/${apiVersion}/incomingpeerings/${mallory.id}`,
        { spec: { grant: { pods: 1000 } } },
        merge,
      ),
    ],
    ['read Secrets of Hawser', send('GET', core(hawserNamespace, 'secrets'))],
    ['read Secrets of kube-system', send('GET', core('kube-system', 'secrets'))],
    ['read another tenant’s Secrets', send('GET', core(alice.twin, 'secrets'))],
    ['read Secrets of its tenant namespace', send('GET', core(mallory.tenant, 'secrets/hawser-identity'))],
    [
      'mint a token of its twin’s account',
      send('POST', core(mallory.twin, 'serviceaccounts/default/token'), {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {},
      }),
    ],
    [
      'mint itself a longer token',
      send('POST', core(mallory.tenant, 'serviceaccounts/consumer/token'), {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: 864000 },
      }),
    ],
    ['read another tenant’s pods', send('GET', core(alice.twin, 'pods'))],
    [
      'exec into another tenant’s pod',
      send('POST', core(alice.twin, 'pods/ledger/exec?command=sh&stdout=1')),
    ],
    [
      'ask for another tenant’s twin in its tenant namespace',
      send('POST', group(apiVersion, alice.tenant, 'twinnamespaces'), twinOf(alice, 'theft', 'theft')),
    ],
    [
      'say itself that a twin is bound',
      send(
        'PATCH',
        group(apiVersion, mallory.tenant, 'twinnamespaces/shop/status'),
        { status: { namespace: alice.twin } },
        merge,
      ),
    ],
    ['list nodes', send('GET', '/api/v1/nodes')],
    ['reach a kubelet by the API server', send('GET', '/api/v1/nodes/any/proxy/pods')],
    [
      'reach a Service by the API server',
      send('GET', core('default', 'services/https:kubernetes:443/proxy/')),
    ],
    [
      'act as an administrator',
      send('GET', core('default', 'secrets'), undefined, {
        headers: { 'impersonate-user': 'root', 'impersonate-group': 'system:masters' },
      }),
    ],
    [
      'have a certificate signed',
      send('POST', '/apis/certificates.k8s.io/v1/certificatesigningrequests', {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: { name: 'x' },
        spec: { request: '', signerName: 'kubernetes.io/kube-apiserver-client', usages: ['client auth'] },
      }),
    ],
    [
      'publish Endpoints',
      send('POST', core(mallory.twin, 'endpoints'), {
        apiVersion: 'v1',
        kind: 'Endpoints',
        metadata: { name: 'x' },
      }),
    ],
    [
      'give a Service the address of a load balancer',
      send('PATCH', core(mallory.twin, 'services/x/status'), { status: {} }, merge),
    ],
    [
      'add an ephemeral container',
      send('PATCH', core(mallory.twin, 'pods/x/ephemeralcontainers'), {}, merge),
    ],
    ['delete all Secrets of its twin at once', send('DELETE', core(mallory.twin, 'secrets'))],
  ];
  for (const [attempt, request] of attempts) await assertRefused(attempt, rbac, request);
});

test('refused requests are counted by the API server', async () => {
  // RBAC allows nothing here: "no opinion" means a refusal.
  const forbidden = await countedByServer(
    /^authorization_attempts_total\{result="(?:no-opinion|denied)"\} (\d+)$/gm,
  );
  assert.ok(forbidden >= 27, `${forbidden} forbidden`);
  console.log(`\n  the API server counts ${forbidden} requests without a right to them`);
});

/** Repeats a request until the API server refuses it; milliseconds since `begun`, and the refusal. */
async function firstRefusal(begun: number): Promise<{ milliseconds: number; status: number }> {
  for (const until = performance.now() + 20_000; performance.now() < until;) {
    const [{ status }, tenant] = await Promise.all([
      send('GET', group(apiVersion, mallory.twin, 'shadowpods?limit=1')),
      send('GET', group(apiVersion, mallory.tenant, 'twinnamespaces?limit=1')),
    ]);
    const refusedBoth = [status, tenant.status].every((code) => code === 401 || code === 403);
    if (refusedBoth) return { milliseconds: Math.round(performance.now() - begun), status };
  }
  throw new Error('the identity is still let in');
}

test('a revoked identity is refused at once, even if the API server has its token cached', async () => {
  assert.is((await send('GET', group(apiVersion, mallory.twin, 'shadowpods?limit=1'))).status, 200);
  const begun = performance.now();
  await admin.delete({ kind: kind.secret, namespace: mallory.tenant, name: 'hawser-identity' }, {}, signal);
  const { milliseconds, status } = await firstRefusal(begun);
  console.log(`\n  identity Secret deleted → first refused API call after ${milliseconds} ms (${status})`);
  // The cached token alone would be accepted for ten more seconds.
  assert.ok(milliseconds < 5000, `${milliseconds} ms`);
  const revoked = await eventually('it is said', async () => {
    const found = await admin.get({ kind: kind.incomingPeering, name: mallory.id }, signal);
    return findCondition(found?.status?.conditions, 'Revoked')?.status === 'True' && found;
  });
  // Another grant does not restore the rights.
  const ref = { kind: kind.incomingPeering, name: mallory.id };
  await admin.patch(ref, { spec: { grant: { pods: 3 } } }, { type: 'merge' }, signal);
  await eventually('the grant is seen', async () => {
    const found = await admin.get(ref, signal);
    return (found?.status?.observedGeneration ?? 0) > (revoked.metadata.generation ?? 0);
  });
  assert.is((await send('GET', group(apiVersion, mallory.twin, 'shadowpods?limit=1'))).status < 400, false);
  // Another token does, with all rights.
  await admin.patch(ref, { spec: { tokenName: 'another' } }, { type: 'merge' }, signal);
  await eventually('it is let in again', async () => {
    const found = await admin.get(ref, signal);
    return findCondition(found?.status?.conditions, 'TenantReady')?.status === 'True';
  });
  await renewIdentity();
  await eventually(
    'its rights are back',
    async () => (await send('GET', group(apiVersion, mallory.twin, 'shadowpods?limit=1'))).status === 200,
  );
});

test('a deleted IncomingPeering ends the identity at once, and then everything that it had', async () => {
  await hostile.create(shadowOf(mallory, 'last'), signal);
  await eventually('a pod of it', () =>
    admin.get({ kind: kind.pod, namespace: mallory.twin, name: 'last' }, signal),
  );
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

test('the table of attempts is printed', () => printAttempts(27));

test.run();
