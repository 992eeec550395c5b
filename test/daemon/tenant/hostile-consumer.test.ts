/**
 * A hostile consumer with a valid identity, against the provider's real API server with the chart's rights and policies,
 * and the tenant feature with the rights that the chart gives it. Each attempt must be stopped, and say by whom.
 */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  createKubeClient,
  kind,
  readBody,
  silentLog,
  type AnyObject,
  type KubeClient,
} from '../../../daemon/kube/index.ts';
import { runControllerWith } from '../../../daemon/roles/controller.ts';
import { runTenant } from '../../../daemon/tenant/index.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';
import { findCondition } from '../../../shared/conditions.ts';
import { tenantNamespace } from '../../../shared/names.ts';
import { ensurePrograms, upControlPlane, type ControlPlane } from '../../testbed/index.ts';
import { run } from '../../testbed/run.ts';
import { told } from '../../support/told.ts';
import { eventually, freePort } from '../clusters.ts';

const test = suite('a hostile consumer');
const chart = join(import.meta.dirname, '..', '..', '..', 'deploy', 'chart');
const hawserNamespace = 'hawser-system';
const apiVersion = 'hawser.dev/v1alpha1';
const mallory = {
  id: 'mallory-aaaaaa',
  twin: 'shop-mallory-aaaaaa',
  tenant: tenantNamespace('mallory-aaaaaa', 'default'),
};
const alice = {
  id: 'alice-bbbbbb',
  twin: 'bank-alice-bbbbbb',
  tenant: tenantNamespace('alice-bbbbbb', 'default'),
};
const grantedPods = 5;

let plane: ControlPlane;
/** As an administrator of the provider. */
let admin: KubeClient;
/** As the hostile consumer. */
let hostile: KubeClient;
let metricsPort: number;
const ending = new AbortController();
const { signal } = ending;
let controller: Promise<void> = Promise.resolve();
const table: [attempt: string, stoppedBy: string][] = [];

const peeringOf = (who: typeof mallory): IncomingPeering => ({
  apiVersion,
  kind: 'IncomingPeering',
  metadata: { name: who.id },
  spec: {
    remoteCluster: who.id,
    peering: 'default',
    grant: { cpu: '2', memory: '4Gi', pods: grantedPods, podSecurity: 'baseline' },
    desired: 'Active',
    tokenName: `token-of-${who.id}`,
  },
});
const twinOf = (who: typeof mallory, name: string, namespace: string): AnyObject => ({
  apiVersion,
  kind: 'TwinNamespace',
  metadata: { name, namespace: who.tenant },
  spec: { sourceNamespace: name, sourceUID: 'u1', namespace },
});
const container = { name: 'main', image: 'example.com/a:1' };
const shadowOf = (who: typeof mallory, name: string, pod: object = {}, labels: object = {}): AnyObject => ({
  apiVersion,
  kind: 'ShadowPod',
  metadata: { name, namespace: who.twin },
  spec: { podUID: `uid-${name}`, labels, pod: { containers: [container], ...pod } },
});
const tunnelOf = (who: typeof mallory, mapped: string): AnyObject => ({
  apiVersion,
  kind: 'Tunnel',
  metadata: { name: who.id },
  spec: {
    remoteCluster: who.id,
    consumer: false,
    provider: true,
    remotePodCIDRs: ['10.244.0.0/16'],
    remoteExternalCIDR: '100.65.0.0/20',
    remoteSlots: [],
    remaps: [{ real: '10.244.0.0/16', mapped, state: 'InUse' }],
    remoteRemaps: [],
    mtu: 1380,
    presharedKeyRevision: '1',
  },
});

async function clientOf(who: typeof mallory): Promise<KubeClient> {
  const answer = await eventually('an identity', () =>
    admin
      .createSubresource<{ status: { token: string } }>(
        { kind: kind.serviceAccount, namespace: who.tenant, name: 'consumer' },
        'token',
        {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: {
            expirationSeconds: 3600,
            boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: 'hawser-identity' },
          },
        },
        signal,
      )
      .catch(() => undefined),
  );
  return createKubeClient({ url: plane.url, ca: plane.ca, token: () => answer.status.token });
}

/** One request as the hostile consumer; what the API server said. */
async function ask(
  method: string,
  path: string,
  body?: object,
  more: { contentType?: string; headers?: Record<string, string> } = {},
  by: KubeClient = hostile,
): Promise<{ status: number; message: string; text: string }> {
  const answer = await by.raw(
    method,
    path,
    { ...more, ...(body !== undefined && { body: JSON.stringify(body) }) },
    signal,
  );
  const text = await readBody(answer, 4 << 20, path);
  let message = text.slice(0, 300);
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? '';
  } catch {
    // Not everything is JSON.
  }
  return { status: answer.statusCode ?? 0, message, text };
}

function note(attempt: string, stoppedBy: string): void {
  table.push([attempt, stoppedBy]);
}

/** The API server refuses, by RBAC or by a policy. */
async function refused(
  attempt: string,
  pattern: RegExp,
  request: Promise<{ status: number; message: string }>,
): Promise<void> {
  const { status, message } = await request;
  assert.ok([403, 422, 400].includes(status), `${attempt}: ${status} ${message}`);
  assert.match(message, pattern, attempt);
  const by = message.includes('ValidatingAdmissionPolicy')
    ? `ValidatingAdmissionPolicy: ${message.replace(/^.* denied request: /, '')}`
    : /cannot \w+ resource|cannot impersonate/.test(message)
      ? 'RBAC'
      : `API server: ${message.slice(-100)}`;
  note(attempt, by);
}

const core = (namespace: string, resource: string) => `/api/v1/namespaces/${namespace}/${resource}`;
const group = (name: string, namespace: string, resource: string) =>
  `/apis/${name}/namespaces/${namespace}/${resource}`;
const merge = { contentType: 'application/merge-patch+json' };

test.before(
  told(async () => {
    plane = await upControlPlane({ name: 'hostile', controllerManager: true });
    const { helm } = await ensurePrograms({ only: ['helm'] });
    await run([helm, 'install', 'hawser', chart, '-n', hawserNamespace, '--create-namespace'], {
      env: { KUBECONFIG: plane.kubeconfig },
    });
    await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
    admin = createKubeClient({ url: plane.url, ca: plane.ca, token: () => plane.adminToken });
    await admin.patch(
      { kind: kind.localCluster, name: 'self' },
      {
        status: {
          clusterID: 'oak-cccccc',
          podCIDRs: ['10.244.0.0/16'],
          serviceCIDRs: ['10.96.0.0/16'],
          nodeCIDRs: ['192.0.2.0/24'],
        },
      },
      { type: 'merge', subresource: 'status' },
      signal,
    );
    const token = await plane.kubectl(['create', 'token', 'hawser-controller', '-n', hawserNamespace]);
    metricsPort = await freePort();
    controller = runControllerWith(
      {
        kube: createKubeClient({ url: plane.url, ca: plane.ca, token: () => token.trim() }),
        log: silentLog,
        environment: { HAWSER_NAMESPACE: hawserNamespace, POD_NAME: 'controller' },
        features: { tenant: runTenant },
        probePort: metricsPort,
      },
      signal,
    );
    controller.catch(() => undefined);
    for (const [who, mapped] of [
      [mallory, '10.128.0.0/16'],
      [alice, '10.129.0.0/16'],
    ] as const) {
      await admin.create(tunnelOf(who, mapped), signal);
      await admin.create(peeringOf(who), signal);
    }
    hostile = await clientOf(mallory);
    const honest = await clientOf(alice);
    const begin = async (by: KubeClient, who: typeof mallory, source: string) => {
      await eventually('rights in the tenant namespace', () =>
        by.create(twinOf(who, source, who.twin), signal).catch(() => undefined),
      );
      await eventually('rights in the twin', async () =>
        by.list(kind.shadowPod, { namespace: who.twin }, signal).catch(() => undefined),
      );
    };
    await begin(hostile, mallory, 'shop');
    await begin(honest, alice, 'bank');
    await honest.create(shadowOf(alice, 'ledger'), signal);
    const ledger = await eventually('the pod of another tenant', () =>
      admin.get({ kind: kind.pod, namespace: alice.twin, name: 'ledger' }, signal),
    );
    await admin.patch(
      { kind: kind.pod, namespace: alice.twin, name: ledger.metadata.name },
      { status: { phase: 'Running', podIP: '10.244.1.99', podIPs: [{ ip: '10.244.1.99' }] } },
      { type: 'merge', subresource: 'status' },
      signal,
    );
    honest.close();
  }),
);
test.after(async () => {
  ending.abort(new Error('the test has ended'));
  await controller.catch(() => undefined);
  hostile?.close();
  admin?.close();
  await plane?.stop();
});

interface Rule {
  verbs: string[];
  apiGroups: string[];
  resources: string[];
  resourceNames?: string[];
}

/** All that the API server says of a consumer's rights in a namespace. */
async function rulesIn(namespace: string): Promise<string[]> {
  const { text } = await ask('POST', '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectRulesReview',
    spec: { namespace },
  });
  const { status } = JSON.parse(text) as { status: { resourceRules: Rule[]; incomplete: boolean } };
  assert.is(status.incomplete, false);
  const all = status.resourceRules.flatMap(({ verbs, apiGroups, resources, resourceNames = ['*'] }) =>
    verbs.flatMap((verb) =>
      apiGroups.flatMap((apiGroup) =>
        resources.flatMap((resource) =>
          resourceNames.map((name) => `${verb} ${apiGroup}/${resource} ${name}`),
        ),
      ),
    ),
  );
  return [...new Set(all)].sort();
}

const each = (verbs: string, ...resources: string[]) =>
  resources.flatMap((resource) => verbs.split(' ').map((verb) => `${verb} ${resource} *`));
const everything = 'get list watch create update patch delete';
/** DESIGN: "in the tenant namespace, TwinNamespaces and its lease". */
const mayInTenant = [
  ...each(everything, 'hawser.dev/twinnamespaces'),
  ...each('get list watch create update patch', 'coordination.k8s.io/leases'),
].sort();
/** DESIGN: "in twins, ShadowPods and the reflected kinds, reading pods, and logs/exec/attach/port-forward on them". */
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
  ...each('get list watch', '/pods'),
  ...each('get', '/pods/log'),
  ...each('get create', '/pods/exec', '/pods/attach', '/pods/portforward'),
].sort();
/** What Kubernetes lets everybody who is authenticated ask of itself (ClusterRole system:basic-user). */
const mayAnybody = [
  ...each(
    'create',
    'authorization.k8s.io/selfsubjectaccessreviews',
    'authorization.k8s.io/selfsubjectrulesreviews',
  ),
  ...each('create', 'authentication.k8s.io/selfsubjectreviews'),
].sort();

test('the identity may what the design says, and nothing more, in no other namespace', async () => {
  const foreign = [hawserNamespace, 'default', 'kube-system', alice.tenant, alice.twin];
  assert.equal(await rulesIn(mallory.tenant), [...mayInTenant, ...mayAnybody].sort());
  assert.equal(await rulesIn(mallory.twin), [...mayInTwin, ...mayAnybody].sort());
  for (const namespace of foreign) assert.equal(await rulesIn(namespace), mayAnybody, namespace);
});

test('asked for every resource and verb that the API server knows, it may no more than that', async () => {
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
        const { text } = await ask('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
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

test('what it has no right to is refused', async () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'own' }, spec: { containers: [container] } };
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'more' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'admin' },
    subjects: [{ kind: 'ServiceAccount', name: 'consumer', namespace: mallory.tenant }],
  };
  const rbac = /cannot \w+ resource|cannot impersonate/;
  const attempts: [string, ReturnType<typeof ask>][] = [
    ['create a pod in its twin', ask('POST', core(mallory.twin, 'pods'), pod)],
    ['create a pod elsewhere', ask('POST', core('default', 'pods'), pod)],
    [
      'bind itself a role',
      ask('POST', group('rbac.authorization.k8s.io/v1', mallory.twin, 'rolebindings'), binding),
    ],
    [
      'create a namespace',
      ask('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x' } }),
    ],
    [
      'relabel its twin',
      ask(
        'PATCH',
        `/api/v1/namespaces/${mallory.twin}`,
        { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } } },
        merge,
      ),
    ],
    [
      'raise its quota',
      ask(
        'PATCH',
        core(mallory.twin, 'resourcequotas/hawser-grant'),
        { spec: { hard: { pods: '1000' } } },
        merge,
      ),
    ],
    [
      'delete its network policy',
      ask('DELETE', group('networking.k8s.io/v1', mallory.twin, 'networkpolicies/hawser-isolation')),
    ],
    [
      'raise its grant',
      ask(
        'PATCH',
        `/apis/${apiVersion}/incomingpeerings/${mallory.id}`,
        { spec: { grant: { pods: 1000 } } },
        merge,
      ),
    ],
    ['read Secrets of Hawser', ask('GET', core(hawserNamespace, 'secrets'))],
    ['read Secrets of kube-system', ask('GET', core('kube-system', 'secrets'))],
    ['read another tenant’s Secrets', ask('GET', core(alice.twin, 'secrets'))],
    ['read Secrets of its tenant namespace', ask('GET', core(mallory.tenant, 'secrets/hawser-identity'))],
    [
      'mint a token of its twin’s account',
      ask('POST', core(mallory.twin, 'serviceaccounts/default/token'), {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {},
      }),
    ],
    [
      'mint itself a longer token',
      ask('POST', core(mallory.tenant, 'serviceaccounts/consumer/token'), {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: 864000 },
      }),
    ],
    ['read another tenant’s pods', ask('GET', core(alice.twin, 'pods'))],
    ['exec into another tenant’s pod', ask('POST', core(alice.twin, 'pods/ledger/exec?command=sh&stdout=1'))],
    [
      'ask for another tenant’s twin in its tenant namespace',
      ask('POST', group(apiVersion, alice.tenant, 'twinnamespaces'), twinOf(alice, 'theft', 'theft')),
    ],
    [
      'say itself that a twin is bound',
      ask(
        'PATCH',
        group(apiVersion, mallory.tenant, 'twinnamespaces/shop/status'),
        { status: { namespace: alice.twin } },
        merge,
      ),
    ],
    ['list nodes', ask('GET', '/api/v1/nodes')],
    ['reach a kubelet by the API server', ask('GET', '/api/v1/nodes/any/proxy/pods')],
    [
      'reach a Service by the API server',
      ask('GET', core('default', 'services/https:kubernetes:443/proxy/')),
    ],
    [
      'act as an administrator',
      ask('GET', core('default', 'secrets'), undefined, {
        headers: { 'impersonate-user': 'root', 'impersonate-group': 'system:masters' },
      }),
    ],
    [
      'have a certificate signed',
      ask('POST', '/apis/certificates.k8s.io/v1/certificatesigningrequests', {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: { name: 'x' },
        spec: { request: '', signerName: 'kubernetes.io/kube-apiserver-client', usages: ['client auth'] },
      }),
    ],
    [
      'publish Endpoints',
      ask('POST', core(mallory.twin, 'endpoints'), {
        apiVersion: 'v1',
        kind: 'Endpoints',
        metadata: { name: 'x' },
      }),
    ],
    [
      'give a Service the address of a load balancer',
      ask('PATCH', core(mallory.twin, 'services/x/status'), { status: {} }, merge),
    ],
    ['add an ephemeral container', ask('PATCH', core(mallory.twin, 'pods/x/ephemeralcontainers'), {}, merge)],
    ['delete all Secrets of its twin at once', ask('DELETE', core(mallory.twin, 'secrets'))],
  ];
  for (const [attempt, request] of attempts) await refused(attempt, rbac, request);
});

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
    const { status } = await ask('POST', group(apiVersion, mallory.tenant, 'twinnamespaces'), {
      ...twinOf(mallory, name, wanted),
      status: { namespace: wanted, conditions: [] },
    });
    assert.is(status, 201);
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

const hostPathVolume = { volumes: [{ name: 'v', hostPath: { path: '/' } }] };
const tokenVolume = {
  volumes: [{ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }],
};
const withContainer = (more: object) => ({ containers: [{ ...container, ...more }] });

test('a pod that asks for more than the grant gives is not made', async () => {
  const cases: [what: string, pod: object, field: RegExp][] = [
    ['mount a host path', hostPathVolume, /hostPath/],
    ['a token of the provider’s API server', tokenVolume, /serviceAccountToken/],
    ['set a node name', { nodeName: 'node-1' }, /nodeName/],
    [
      'select provider nodes',
      { nodeSelector: { 'node-role.kubernetes.io/control-plane': '' } },
      /nodeSelector/,
    ],
    ['the node’s network', { hostNetwork: true }, /hostNetwork/],
    ['the node’s processes', { hostPID: true }, /hostPID/],
    ['a privileged container', withContainer({ securityContext: { privileged: true } }), /privileged/],
    [
      'CAP_NET_ADMIN',
      withContainer({ securityContext: { capabilities: { add: ['NET_ADMIN'] } } }),
      /capabilities/,
    ],
    ['a port of the node', withContainer({ ports: [{ containerPort: 80, hostPort: 80 }] }), /hostPort/],
    [
      'a probe of the metadata service by the node',
      withContainer({ livenessProbe: { httpGet: { port: 80, host: '169.254.169.254' } } }),
      /host/,
    ],
    ['a priority class', { priorityClassName: 'system-node-critical' }, /priorityClassName/],
    ['a runtime class', { runtimeClassName: 'any' }, /runtimeClassName/],
    ['a field that is not known', { unheardOf: true }, /unheardOf/],
  ];
  for (const [index, [what, pod, field]] of cases.entries()) {
    const name = `bad-${index}`;
    await hostile.create(shadowOf(mallory, name, pod), signal);
    const condition = await eventually(`${what} is refused`, async () => {
      const found = await admin.get({ kind: kind.shadowPod, namespace: mallory.twin, name }, signal);
      return findCondition(found?.status?.conditions, 'Admitted');
    });
    assert.is(condition.status, 'False', what);
    assert.match(condition.message, field);
    assert.is(await admin.get({ kind: kind.pod, namespace: mallory.twin, name }, signal), undefined);
    note(`pod: ${what}`, `admit(), condition Admitted: ${condition.message.slice(0, 90)}`);
    await hostile.delete({ kind: kind.shadowPod, namespace: mallory.twin, name }, {}, signal);
  }
});

test('what a pod says of scheduling, accounts and labels is not heard', async () => {
  const wish = {
    tolerations: [{ operator: 'Exists' }],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }],
        },
      },
    },
    schedulerName: 'mine',
    priority: 2_000_000_000,
    serviceAccountName: 'hawser-controller',
    automountServiceAccountToken: true,
  };
  await hostile.create(
    shadowOf(mallory, 'meek', wish, { 'hawser.dev/origin': alice.id, 'hawser.dev/peering': alice.id }),
    signal,
  );
  const pod = await eventually('the pod', () =>
    admin.get({ kind: kind.pod, namespace: mallory.twin, name: 'meek' }, signal),
  );
  // Kubernetes itself adds two tolerations, of nodes that are lost (DefaultTolerationSeconds).
  const tolerations = (pod.spec?.['tolerations'] ?? []) as { key?: string }[];
  assert.ok(
    tolerations.every(
      ({ key }) => key === 'node.kubernetes.io/not-ready' || key === 'node.kubernetes.io/unreachable',
    ),
  );
  assert.is(pod.spec?.['affinity'], undefined);
  assert.is(pod.spec?.['schedulerName'], 'default-scheduler');
  assert.is(pod.spec?.['priority'], 0);
  assert.is(pod.spec?.serviceAccountName, 'default');
  assert.is(pod.spec?.['automountServiceAccountToken'], false);
  assert.not.ok(JSON.stringify(pod.spec?.volumes ?? []).includes('serviceAccountToken'));
  assert.is(pod.metadata.labels?.['hawser.dev/origin'], mallory.id);
  note(
    'pod: tolerate everything, an affinity, a priority',
    'admit() drops them: scheduling is the provider’s',
  );
  note('pod: another service account, its token', 'admit() drops them: account default, no token');
  note('pod: labels of another tenant', 'the provider’s own labels replace them');
});

test('a hundred at once get what is granted and no more', async () => {
  await Promise.all(
    Array.from({ length: 100 }, (_, index) => hostile.create(shadowOf(mallory, `crowd-${index}`), signal)),
  );
  const decided = await eventually(
    'all are decided',
    async () => {
      const { items } = await admin.list(kind.shadowPod, { namespace: mallory.twin }, signal);
      const admitted = items.map(({ status }) => findCondition(status?.conditions, 'Admitted'));
      return items.length >= 100 && admitted.every((one) => one !== undefined) && admitted;
    },
    60_000,
  );
  const pods = (await admin.list(kind.pod, { namespace: mallory.twin }, signal)).items;
  assert.is(pods.length, grantedPods);
  assert.is(decided.filter((one) => one?.status === 'True').length, grantedPods);
  assert.ok(decided.filter((one) => one?.status === 'False').every((one) => one?.reason === 'QuotaExceeded'));
  note(
    'a hundred ShadowPods at once',
    `admit() with one ledger: ${pods.length} of ${grantedPods} granted pods made, ${decided.length - pods.length} refused`,
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
    const found = await admin.get({ kind: kind.incomingPeering, name: mallory.id }, signal);
    const one = findCondition(found?.status?.conditions, 'WithinGrant');
    return one?.status === 'False' && one.message.includes('EndpointSlice') && one;
  });
  console.log(`\n  WithinGrant: ${condition.message}`);
  const honest = await admin.get({ kind: kind.incomingPeering, name: alice.id }, signal);
  assert.is(findCondition(honest?.status?.conditions, 'WithinGrant')?.status, 'True');
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const counted = (what: string) =>
    Number(
      new RegExp(
        `^hawser_refusals_total\\{remote_cluster="${mallory.id}",what="${what}"\\} (\\d+)$`,
        'm',
      ).exec(metrics)?.[1],
    );
  assert.is(counted('Pod'), 13);
  assert.is(counted('Twin'), 5);
  assert.is(counted('Endpoint'), 4);
  assert.ok(counted('Room') >= 95);
  const server = (await ask('GET', '/metrics', undefined, {}, admin)).text;
  const sum = (pattern: RegExp) =>
    [...server.matchAll(pattern)].reduce((total, [, value]) => total + Number(value), 0);
  // What no rule of RBAC allows: there "no opinion" is a no.
  const forbidden = sum(/^authorization_attempts_total\{result="(?:no-opinion|denied)"\} (\d+)$/gm);
  const denied = sum(
    /^apiserver_validating_admission_policy_check_total\{.*enforcement_action="deny".*policy="hawser-consumer.*\} (\d+)$/gm,
  );
  assert.ok(forbidden >= 27 && denied >= 9, `${forbidden} forbidden, ${denied} denied by policy`);
  console.log(
    `  hawser_refusals_total: Pod ${counted('Pod')}, Room ${counted('Room')}, Twin ${counted('Twin')}, Endpoint ${counted('Endpoint')}`,
  );
  console.log(
    `  the API server counts ${forbidden} requests without a right to them, and ${denied} denied by Hawser’s policies`,
  );
});

/** Asks again and again until the API server refuses; milliseconds since `begun`, and how it was said. */
async function firstRefusal(begun: number): Promise<{ milliseconds: number; status: number }> {
  for (const end = performance.now() + 20_000; performance.now() < end;) {
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
  hostile.close();
  hostile = await clientOf(mallory);
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

test('the table', () => {
  const width = Math.max(...table.map(([attempt]) => attempt.length));
  console.log(`\n${table.map(([attempt, by]) => `  ${attempt.padEnd(width)}  ${by}`).join('\n')}`);
  assert.ok(table.length > 60, `${table.length} attempts`);
});

test.run();
