/** The plan of `hawser install` for a cluster: its kind, values of the chart, and the future gateway nodes. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { planInstall, type InstallFacts, type NodeFacts } from '../../cli/install/plan.ts';

const plans = suite('the plan of an installation');

const node = (name: string, more: Partial<NodeFacts> = {}): NodeFacts => ({
  name,
  providerID: '',
  kubeletVersion: 'v1.34.4',
  labels: { 'kubernetes.io/os': 'linux' },
  ready: true,
  unschedulable: false,
  internalIP: '10.0.0.1',
  ...more,
});
const controlPlane = { labels: { 'node-role.kubernetes.io/control-plane': '' } };

const facts = (more: Partial<InstallFacts> = {}): InstallFacts => ({
  version: 'v1.34.4',
  nodes: [node('n1')],
  daemonSets: [],
  namespaces: [],
  loadBalancerSeen: false,
  server: 'https://203.0.113.5:6443',
  kubeadm: false,
  ...more,
});

const providerTable: [what: string, facts: InstallFacts, provider: string][] = [
  [
    'kind, by the nodes’ provider',
    facts({ nodes: [node('n', { providerID: 'kind://docker/home/n' })] }),
    'kind',
  ],
  ['k3s, by the version', facts({ version: 'v1.34.4+k3s1' }), 'k3s'],
  ['GKE, by the version', facts({ version: 'v1.34.4-gke.1001' }), 'gke'],
  ['EKS, by the version', facts({ version: 'v1.34.4-eks-a1b2c3' }), 'eks'],
  [
    'AKS, by a label of the nodes',
    facts({
      nodes: [node('n', { providerID: 'azure:///x', labels: { 'kubernetes.azure.com/cluster': 'MC_x' } })],
    }),
    'aks',
  ],
  ['kubeadm, by its ConfigMap', facts({ kubeadm: true }), 'kubeadm'],
  ['anything else', facts(), 'other'],
];
for (const [what, given, provider] of providerTable)
  plans(`provider: ${what}`, () => assert.is(planInstall(given).provider, provider));

plans('the provider that an administrator names is used', () => {
  assert.is(planInstall(facts({ kubeadm: true }), { provider: 'gke' }).provider, 'gke');
});

const gatewayTable: [what: string, nodes: NodeFacts[], gateways: string[]][] = [
  [
    'two that are ready, the control plane last',
    [node('cp', controlPlane), node('w1'), node('w2'), node('w3')],
    ['w1', 'w2'],
  ],
  [
    'one with an external address first',
    [node('w1'), node('w2', { externalIP: '203.0.113.9' })],
    ['w2', 'w1'],
  ],
  [
    'those that have the label already',
    [node('w1'), node('w2', { labels: { 'hawser.dev/gateway': 'true' } })],
    ['w2'],
  ],
  [
    'none that is not ready, cordoned, of Windows or virtual',
    [
      node('down', { ready: false }),
      node('cordoned', { unschedulable: true }),
      node('windows', { labels: { 'kubernetes.io/os': 'windows' } }),
      node('virtual', { labels: { 'hawser.dev/virtual-node': 'true' } }),
    ],
    [],
  ],
];
for (const [what, nodes, gateways] of gatewayTable)
  plans(`gateway nodes: ${what}`, () => assert.equal(planInstall(facts({ nodes })).gatewayNodes, gateways));

plans('without a load balancer remotes use the nodes’ ports', () => {
  const { values } = planInstall(facts({ kubeadm: true }), { name: 'home' });
  assert.equal(values, {
    gateway: { service: { type: 'NodePort', nodePort: 30743, externalTrafficPolicy: 'Cluster' } },
    cluster: {
      name: 'home',
      gatewayURL: 'https://10.0.0.1:30743',
      tunnelAddresses: ['10.0.0.1:7470'],
      apiServerURL: 'https://203.0.113.5:6443',
    },
  });
});

for (const [what, more] of [
  ['k3s has one', { version: 'v1.34.4+k3s1' }],
  ['a Service has an address', { loadBalancerSeen: true }],
  ['MetalLB is there', { namespaces: ['metallb-system'] }],
  ['kube-vip is there', { daemonSets: ['kube-vip-ds'] }],
] as const)
  plans(`with a load balancer nothing is set: ${what}`, () => {
    const { values } = planInstall(facts({ infoServer: 'https://192.0.2.1:6443', ...more }));
    assert.equal(values, {});
  });

plans('an API server that only this machine reaches needs an administrator’s decision', () => {
  const { values, findings } = planInstall(
    facts({ server: 'https://127.0.0.1:41023', loadBalancerSeen: true }),
  );
  assert.equal(values, {});
  assert.match(
    findings.find(({ what }) => what === 'API server')?.follows ?? '',
    /set cluster\.apiServerURL/,
  );
});

plans('EKS: tunnels end at external addresses of nodes, otherwise the plan names what is missing', () => {
  const eks = (nodes: NodeFacts[]) =>
    planInstall(facts({ version: 'v1.34.4-eks-1', infoServer: 'https://x.eks.example', nodes }));
  const open = eks([node('w1', { externalIP: '203.0.113.9' })]);
  assert.equal(open.values, { cluster: { tunnelAddresses: ['203.0.113.9:7470'] } });
  const closed = eks([node('w1')]).findings.find(({ what }) => what === 'UDP on EKS');
  assert.ok(closed?.attention);
  assert.match(closed?.follows ?? '', /AWS Load Balancer Controller/);
});

plans('IPv6 addresses are in brackets', () => {
  const { values } = planInstall(facts({ nodes: [node('n', { internalIP: '2001:db8::1' })] }));
  const { cluster } = values as { cluster: { gatewayURL: string; tunnelAddresses: string[] } };
  assert.is(cluster.gatewayURL, 'https://[2001:db8::1]:30743');
  assert.equal(cluster.tunnelAddresses, ['[2001:db8::1]:7470']);
});

plans.run();
