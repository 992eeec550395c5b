import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dump, load } from 'js-yaml';
import { essentialRights, rightReview, rightText } from '../../cli/doctor/rights.ts';
import { ensurePrograms, upControlPlane, type ControlPlane } from '../testbed/index.ts';
import { deleteKinds } from '../support/delete-kinds.ts';
import { run } from '../testbed/run.ts';

const chart = join(import.meta.dirname, '..', '..', 'deploy', 'chart');
const namespace = 'hawser-system';
const server = suite('the chart on an API server');

let plane: ControlPlane;
let helm: string;

server.before(async () => {
  plane = await upControlPlane({ name: 'chart', controllerManager: true });
  ({ helm } = await ensurePrograms({ only: ['helm'] }));
  await install();
});
server.after(() => plane.stop());

async function install(values: object = {}): Promise<string> {
  const file = join(plane.directory, 'values.yaml');
  await writeFile(file, dump(values));
  const command = [helm, 'upgrade', '--install', 'hawser', chart, '-n', namespace, '--create-namespace'];
  return run([...command, '--values', file], { env: { KUBECONFIG: plane.kubeconfig } });
}

interface Impersonated {
  user: string;
  groups?: string[];
  extra?: Record<string, string[]>;
}

let impersonations = 0;

/** Runs kubectl as another user, with a kubeconfig that impersonates. */
async function kubectlAs(who: Impersonated, args: string[], input?: object): Promise<string> {
  const config = load(await readFile(plane.kubeconfig, 'utf8')) as { users: { user: object }[] };
  for (const { user } of config.users) {
    Object.assign(user, {
      as: who.user,
      'as-groups': ['system:authenticated', ...(who.groups ?? [])],
      ...(who.extra && { 'as-user-extra': who.extra }),
    });
  }
  const path = join(plane.directory, `impersonated-${(impersonations += 1)}.kubeconfig`);
  await writeFile(path, dump(config));
  return plane.kubectl(['--kubeconfig', path, ...args], {
    ...(input && { input: JSON.stringify(input) }),
  });
}

async function refusal(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
}

const account = (name: string, node?: string): Impersonated => ({
  user: `system:serviceaccount:${namespace}:${name}`,
  groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`],
  ...(node !== undefined && { extra: { 'authentication.kubernetes.io/node-name': [node] } }),
});

server(
  'a node’s tunnel port is no port of the host to the scheduler, which k3s’ ServiceLB asks for',
  async () => {
    const daemonSet = JSON.parse(
      await plane.kubectl(['get', 'daemonset', 'hawser-node', '-n', namespace, '-o', 'json']),
    ) as {
      spec: { template: { spec: { containers: { ports?: { hostPort?: number; protocol: string }[] }[] } } };
    };
    const ports = daemonSet.spec.template.spec.containers.flatMap((container) => container.ports ?? []);
    assert.equal(
      ports.filter(({ protocol }) => protocol === 'UDP'),
      [],
    );
  },
);

server('the values become LocalCluster self', async () => {
  await install({ cluster: { name: 'elm', podCIDRs: ['10.244.0.0/16'], mtu: 1400 } });
  const self = JSON.parse(await plane.kubectl(['get', 'localcluster', 'self', '-o', 'json'])) as {
    spec: object;
  };
  assert.equal(self.spec, { name: 'elm', podCIDRs: ['10.244.0.0/16'], mtu: 1400, dataPath: 'Isolated' });
});

server('a value that does not exist, or is out of range, is refused by name', async () => {
  assert.match(await refusal(install({ cluster: { podCidr: ['10.0.0.0/8'] } })), /podCidr/);
  assert.match(await refusal(install({ cluster: { mtu: 900 } })), /mtu/);
  assert.match(await refusal(install({ gateway: { replicas: -1 } })), /replicas/);
});

server('the API gateway sees client addresses where its Service has a traffic policy', async () => {
  const policy = () =>
    plane.kubectl(
      `get service hawser-gateway -n ${namespace} -o jsonpath={.spec.externalTrafficPolicy}`.split(' '),
    );
  await install();
  assert.is(await policy(), 'Local');
  await install({ gateway: { service: { externalTrafficPolicy: 'Cluster' } } });
  assert.is(await policy(), 'Cluster');
  await install({ gateway: { service: { type: 'ClusterIP' } } });
  assert.is(await policy(), '');
  assert.match(
    await refusal(install({ gateway: { service: { externalTrafficPolicy: 'Any' } } })),
    /externalTrafficPolicy/,
  );
  await install();
});

/** The rights that each process must have, and those that it must not have. */
const rights: [who: string, allowed: boolean, args: string[]][] = [
  ['hawser-gateway', true, ['create', 'peeringtokens.hawser.dev', '-n', namespace]],
  ['hawser-gateway', false, ['create', 'serviceaccounts/consumer', '--subresource=token', '-n', 'default']],
  [
    'hawser-controller',
    false,
    ['create', 'serviceaccounts/consumer', '--subresource=token', '-n', 'default'],
  ],
  ['hawser-gateway', true, ['get', 'secret/hawser-gateway-tls', '-n', namespace]],
  ['hawser-gateway', false, ['create', 'serviceaccounts/default', '--subresource=token', '-n', 'default']],
  ['hawser-gateway', false, ['get', 'secret/hawser-cluster-key', '-n', namespace]],
  ['hawser-gateway', false, ['list', 'secrets', '-n', namespace]],
  ['hawser-gateway', false, ['create', 'namespaces']],
  ['hawser-gateway', false, ['list', 'pods', '-A']],
  ['hawser-node', true, ['list', 'pods', '-A']],
  ['hawser-node', true, ['watch', 'secret/hawser-tunnel-keys', '-n', namespace]],
  ['hawser-node', true, ['patch', 'fabricnodes.hawser.dev', '--subresource=status']],
  ['hawser-node', true, ['watch', 'endpointslices.discovery.k8s.io', '-n', namespace]],
  ['hawser-node', true, ['watch', 'endpointslices.discovery.k8s.io/kubernetes', '-n', 'default']],
  ['hawser-node', false, ['list', 'endpointslices.discovery.k8s.io', '-n', 'default']],
  ['hawser-node', false, ['list', 'endpointslices.discovery.k8s.io', '-n', 'kube-system']],
  ['hawser-node', false, ['patch', 'fabricnodes.hawser.dev']],
  ['hawser-node', false, ['get', 'secret/hawser-cluster-key', '-n', namespace]],
  ['hawser-node', false, ['list', 'secrets', '-n', namespace]],
  ['hawser-node', false, ['patch', 'tunnels.hawser.dev']],
  ['hawser-node', false, ['create', 'pods', '-n', 'default']],
  ['hawser-node', false, ['patch', 'nodes']],
  ['hawser-controller', true, ['create', 'roles.rbac.authorization.k8s.io', '-n', 'default']],
  ['hawser-controller', true, ['create', 'nodes']],
  ['hawser-controller', false, ['escalate', 'roles.rbac.authorization.k8s.io', '-n', 'default']],
  ['hawser-controller', false, ['bind', 'clusterroles.rbac.authorization.k8s.io/cluster-admin']],
  ['hawser-controller', false, ['create', 'clusterroles.rbac.authorization.k8s.io']],
  ['hawser-controller', false, ['create', 'validatingadmissionpolicies.admissionregistration.k8s.io']],
  ['hawser-controller', false, ['impersonate', 'users']],
  ['hawser-controller', true, ['patch', 'pods', '--subresource=status', '-n', 'default']],
  ['hawser-controller', false, ['update', 'pods', '-n', 'default']],
  ['hawser-controller', false, ['get', 'roles.rbac.authorization.k8s.io', '-n', 'default']],
  ['hawser-controller', false, ['update', 'nodes']],
  ['hawser-controller', true, ['update', 'leases.coordination.k8s.io', '-n', namespace]],
  ['hawser-controller', true, ['delete', 'leases.coordination.k8s.io', '-n', 'kube-node-lease']],
  ['hawser-controller', false, ['delete', 'leases.coordination.k8s.io', '-n', 'kube-system']],
  ['hawser-controller', false, ['update', 'leases.coordination.k8s.io', '-n', 'kube-system']],
  ['hawser-controller', false, ['delete', 'peeringtokens.hawser.dev', '-n', 'default']],
  ['hawser-controller', false, ['create', 'persistentvolumeclaims', '-n', 'default']],
  ['hawser-controller', false, ['patch', 'fabricnodes.hawser.dev', '--subresource=status']],
  ['hawser-controller', false, ['update', 'localclusters.hawser.dev']],
  ['hawser-gateway', false, ['delete', 'remoteclusters.hawser.dev']],
  ['hawser-node', false, ['get', 'pods', '-n', 'default']],
];

/** Bound to users with the roles' names, as an administrator would. */
const peerRights: [role: string, allowed: boolean, args: string[]][] = [
  ['hawser-peer-consumer', true, ['create', 'remoteclusters.hawser.dev']],
  ['hawser-peer-consumer', true, ['patch', 'outgoingpeerings.hawser.dev']],
  ['hawser-peer-consumer', true, ['get', 'localclusters.hawser.dev/self']],
  ['hawser-peer-consumer', true, ['create', 'secrets/hawser-in-band-token', '-n', namespace]],
  ['hawser-peer-consumer', true, ['list', 'tunnels.hawser.dev']],
  ['hawser-peer-consumer', true, ['list', 'outgoingpeerings.hawser.dev']],
  ['hawser-peer-consumer', true, ['list', 'nodes']],
  ['hawser-peer-consumer', false, ['patch', 'nodes']],
  ['hawser-peer-consumer', false, ['list', 'remoteclusters.hawser.dev']],
  ['hawser-peer-consumer', false, ['get', 'secrets/hawser-in-band-token', '-n', namespace]],
  ['hawser-peer-consumer', false, ['create', 'secrets/another', '-n', namespace]],
  ['hawser-peer-consumer', false, ['get', 'secrets/hawser-cluster-key', '-n', namespace]],
  ['hawser-peer-consumer', false, ['delete', 'remoteclusters.hawser.dev']],
  ['hawser-peer-consumer', false, ['create', 'peeringtokens.hawser.dev', '-n', namespace]],
  ['hawser-peer-consumer', false, ['list', 'pods', '-A']],
  ['hawser-peer-provider', true, ['create', 'peeringtokens.hawser.dev', '-n', namespace]],
  ['hawser-peer-provider', true, ['patch', 'remoteclusters.hawser.dev']],
  ['hawser-peer-provider', false, ['get', 'peeringtokens.hawser.dev', '-n', namespace]],
  ['hawser-peer-provider', false, ['create', 'incomingpeerings.hawser.dev']],
  ['hawser-peer-provider', false, ['create', 'outgoingpeerings.hawser.dev']],
  ['hawser-peer-provider', false, ['get', 'secrets', '-n', namespace]],
];

server('the role for in-band peering has exactly the rights that the command needs', async () => {
  const roles = [...new Set(peerRights.map(([role]) => role))];
  for (const role of roles) {
    await plane.kubectl(['create', 'clusterrolebinding', role, '--clusterrole', role, '--user', role]);
  }
  const wrong: string[] = [];
  for (const [role, allowed, args] of peerRights) {
    const answer = await kubectlAs({ user: role }, ['auth', 'can-i', ...args])
      .then(() => true)
      .catch(() => false);
    if (answer !== allowed) wrong.push(`${role} ${allowed ? 'may not' : 'may'} ${args.join(' ')}`);
  }
  assert.equal(wrong, []);
  // It may create only this Secret, by server-side apply.
  const secret = (name: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace } });
  const applied = (name: string) =>
    kubectlAs({ user: 'hawser-peer-consumer' }, ['apply', '--server-side', '-f', '-'], secret(name));
  await applied('hawser-in-band-token');
  assert.match(await refusal(applied('another')), /forbidden/i);
  await plane.kubectl(['delete', 'secret', '-n', namespace, 'hawser-in-band-token']);
  await plane.kubectl(['delete', 'clusterrolebinding', ...roles]);
});

server('each process has exactly the rights that it needs', async () => {
  const wrong: string[] = [];
  for (const [who, allowed, args] of rights) {
    const answer = await kubectlAs(account(who), ['auth', 'can-i', ...args])
      .then(() => true)
      .catch(() => false);
    if (answer !== allowed) wrong.push(`${who} ${allowed ? 'may not' : 'may'} ${args.join(' ')}`);
  }
  assert.equal(wrong, []);
});

server('the roles grant all rights that hawser doctor checks', async () => {
  const missing: string[] = [];
  for (const right of essentialRights) {
    const answer = await plane.kubectl(['create', '-f', '-', '-o', 'json'], {
      input: JSON.stringify(rightReview(right, namespace)),
    });
    const { status } = JSON.parse(answer) as { status: { allowed: boolean } };
    if (!status.allowed) missing.push(`${right.account}: ${rightText(right)}`);
  }
  assert.equal(missing, []);
});

server('a node daemon may write only its own node’s status', async () => {
  for (const name of ['one', 'two']) {
    await plane.kubectl(['apply', '-f', '-'], {
      input: JSON.stringify({
        apiVersion: 'hawser.dev/v1alpha1',
        kind: 'FabricNode',
        metadata: { name },
        spec: {},
      }),
    });
  }
  const report = (name: string) =>
    `patch fabricnode ${name} --subresource=status --type=merge --patch={"status":{"version":"1"}}`.split(
      ' ',
    );
  // kubectl reads an object before it patches it; the daemon does not, and has no right to.
  await plane.kubectl([
    'create',
    'clusterrole',
    'reader',
    '--verb=get',
    '--resource=fabricnodes.hawser.dev,fabricnodes.hawser.dev/status',
  ]);
  await plane.kubectl(
    `create clusterrolebinding reader --clusterrole=reader --serviceaccount=${namespace}:hawser-node`.split(
      ' ',
    ),
  );
  // The API server enforces a new policy after a short delay.
  for (let tries = 0; tries < 50; tries += 1) {
    if ((await refusal(kubectlAs(account('hawser-node', 'one'), report('two')))) !== 'accepted') break;
  }
  await kubectlAs(account('hawser-node', 'one'), report('one'));
  assert.match(await refusal(kubectlAs(account('hawser-node', 'one'), report('two'))), /own node alone/);
  assert.match(await refusal(kubectlAs(account('hawser-node'), report('one'))), /own node alone/);
});

const consumer: Impersonated = {
  user: 'system:serviceaccount:hawser-tenant-oak:consumer',
  groups: ['system:serviceaccounts', 'system:serviceaccounts:hawser-tenant-oak'],
};
const reflected = { 'hawser.dev/reflected': 'true' };

server('a consumer may write reflected objects, and nothing that reaches further', async () => {
  // Even if its roles gave it all rights in a namespace.
  await plane.kubectl(['create', 'namespace', 'shop-oak']);
  const binding = 'create rolebinding all -n shop-oak --clusterrole=admin';
  await plane.kubectl([...binding.split(' '), '--serviceaccount=hawser-tenant-oak:consumer']);
  await plane.kubectl(['create', 'configmap', 'own', '-n', 'shop-oak']);
  const create = (object: object) => kubectlAs(consumer, ['create', '-n', 'shop-oak', '-f', '-'], object);
  const service = (name: string, spec: object, labels: object = reflected) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, labels },
    spec: { ports: [{ port: 80 }], ...spec },
  });
  const secret = (name: string, more: object) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, labels: reflected },
    ...more,
  });
  await create(service('web', {}));
  await create(secret('password', { stringData: { a: 'b' } }));
  const said = await Promise.all([
    refusal(create(service('a', {}, {}))),
    refusal(create(service('b', { type: 'NodePort' }))),
    refusal(create(service('c', { type: 'LoadBalancer' }))),
    refusal(create(service('d', { externalIPs: ['192.0.2.1'] }))),
    refusal(create(secret('e', { type: 'bootstrap.kubernetes.io/token' }))),
    refusal(kubectlAs(consumer, ['delete', 'configmap', 'own', '-n', 'shop-oak'])),
    refusal(
      kubectlAs(consumer, ['label', 'configmap', 'own', '-n', 'shop-oak', 'hawser.dev/reflected=true']),
    ),
  ]);
  const expected = [
    /only objects labelled/,
    /of type ClusterIP/,
    /of type ClusterIP/,
    /no external addresses/,
    /no credentials for this cluster/,
    /only objects that it reflected/,
    /only objects that it reflected/,
  ];
  for (const [index, pattern] of expected.entries()) assert.match(said[index] ?? '', pattern);
});

server('after uninstalling only the CRDs are left, which one command deletes', async () => {
  // Without the hook that ends peerings: there are no nodes to run it here.
  await run([helm, 'uninstall', 'hawser', '-n', namespace, '--no-hooks', '--wait', '--timeout', '30s'], {
    env: { KUBECONFIG: plane.kubeconfig },
  });
  const kinds =
    'deployments,daemonsets,services,secrets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,' +
    'validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingwebhookconfigurations,localclusters';
  const everything = ['get', kinds, '-A', '-o', 'name', '-l', 'app.kubernetes.io/part-of=hawser'];
  const left = await plane.kubectl(everything);
  assert.is(left.trim(), '');
  await deleteKinds((args) => plane.kubectl(args));
  assert.is((await plane.kubectl(['get', 'crd', '-o', 'name'])).trim(), '');
});

server.run();
