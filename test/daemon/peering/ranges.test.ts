/** Detection of this cluster's address ranges, as tables. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  detectRanges,
  externalRange,
  flagValues,
  inconsistencies,
  yamlValues,
  type Observed,
} from '../../../daemon/peering/ranges.ts';
import { anyContains, readRanges } from '../../../shared/net/cidr.ts';
import { tidy } from '../../../shared/net/coarse-ranges.ts';

const ranges = suite('ranges of this cluster');
const node = (name: string, podCIDRs: string[], address: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels },
  spec: { podCIDRs },
  status: {
    addresses: [
      { type: 'InternalIP', address },
      { type: 'Hostname', address: name },
    ],
  },
});
const observed = (more: Partial<Observed> = {}): Observed => ({
  nodes: [node('a', ['10.244.0.0/24'], '192.168.1.10'), node('b', ['10.244.1.0/24'], '192.168.1.11')],
  serviceCIDRs: [
    { apiVersion: 'v1', kind: 'ServiceCIDR', metadata: { name: 'k' }, spec: { cidrs: ['10.96.0.0/12'] } },
  ],
  kubeadm: undefined,
  kubeProxy: undefined,
  controlPlane: [],
  podAddresses: [],
  ...more,
});
const flags = (...command: string[]) => [
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'kcm' },
    spec: { containers: [{ name: 'c', command }] },
  },
];
interface PodRangesCase {
  given: string;
  spec?: Parameters<typeof detectRanges>[0];
  observed?: Partial<Observed>;
  held?: Parameters<typeof detectRanges>[2];
  podCIDRs: string[];
  guessed: boolean;
}
const podRangesCases: PodRangesCase[] = [
  { given: 'spec.podCIDRs', spec: { podCIDRs: ['10.1.0.0/16'] }, podCIDRs: ['10.1.0.0/16'], guessed: false },
  {
    given: 'the podSubnet of kubeadm',
    observed: { kubeadm: 'networking:\n  podSubnet: 10.2.0.0/16,fd00:2::/56\n' },
    podCIDRs: ['10.2.0.0/16', 'fd00:2::/56'],
    guessed: false,
  },
  {
    given: 'a flag with an equals sign',
    observed: { controlPlane: flags('kube-controller-manager', '--cluster-cidr=10.3.0.0/16') },
    podCIDRs: ['10.3.0.0/16'],
    guessed: false,
  },
  {
    given: 'a flag with a space',
    observed: { controlPlane: flags('x', '--cluster-cidr', '10.3.0.0/16') },
    podCIDRs: ['10.3.0.0/16'],
    guessed: false,
  },
  {
    given: 'the clusterCIDR of kube-proxy',
    observed: { kubeProxy: 'bindAddress: 0.0.0.0\nclusterCIDR: "10.4.0.0/16"\n' },
    podCIDRs: ['10.4.0.0/16'],
    guessed: false,
  },
  {
    given: 'an empty clusterCIDR, which counts as none',
    observed: { kubeProxy: 'clusterCIDR: ""\n' },
    podCIDRs: ['10.244.0.0/16'],
    guessed: true,
  },
  { given: 'only the ranges of nodes, widened', podCIDRs: ['10.244.0.0/16'], guessed: true },
  {
    given: 'ranges of nodes whose widened range would overlap a node',
    observed: { nodes: [node('a', ['192.168.7.0/24'], '192.168.1.10')] },
    podCIDRs: ['192.168.7.0/24'],
    guessed: true,
  },
  {
    given: 'a previous guess that still fits',
    held: { podCIDRs: ['10.244.0.0/14'] },
    podCIDRs: ['10.244.0.0/14'],
    guessed: true,
  },
  {
    given: 'a previous guess that does not fit',
    held: { podCIDRs: ['10.9.0.0/16'] },
    podCIDRs: ['10.244.0.0/16'],
    guessed: true,
  },
  {
    given: 'only a virtual node, which is ignored',
    observed: { nodes: [node('v', ['10.8.0.0/24'], '10.0.0.1', { 'hawser.dev/virtual-node': 'true' })] },
    podCIDRs: [],
    guessed: true,
  },
  {
    given: 'the ranges of nodes, where no pod is in the range of kubeadm',
    observed: { kubeadm: '  podSubnet: 10.250.0.0/16\n', podAddresses: ['10.244.0.9', '10.244.1.3'] },
    podCIDRs: ['10.244.0.0/16'],
    guessed: true,
  },
  {
    given: 'the addresses of pods, where none is in the ranges of kubeadm and nodes',
    observed: { kubeadm: '  podSubnet: 10.250.0.0/16\n', podAddresses: ['10.0.3.7', '10.0.9.1'] },
    podCIDRs: ['10.0.0.0/16'],
    guessed: true,
  },
  {
    given: 'the range of kubeadm, where one pod is in it',
    observed: { kubeadm: '  podSubnet: 10.2.0.0/16\n', podAddresses: ['10.2.0.9', '10.0.9.1'] },
    podCIDRs: ['10.2.0.0/16'],
    guessed: false,
  },
  {
    given: 'spec.podCIDRs, whatever addresses pods have',
    spec: { podCIDRs: ['10.1.0.0/16'] },
    observed: { podAddresses: ['10.0.3.7'] },
    podCIDRs: ['10.1.0.0/16'],
    guessed: false,
  },
];
for (const { given, spec = {}, observed: seen = {}, held, podCIDRs, guessed } of podRangesCases) {
  ranges(`pod ranges are detected from ${given}`, () => {
    const found = detectRanges(spec, observed(seen), held);
    assert.equal(found.podCIDRs, podCIDRs);
    assert.is(found.guessed, guessed);
  });
}
ranges('pods outside the pod ranges are listed', () => {
  const found = detectRanges(
    { podCIDRs: ['10.1.0.0/16'] },
    observed({ podAddresses: ['10.1.0.2', '10.0.3.7'] }),
    undefined,
  );
  assert.equal(found.podsOutside, ['10.0.3.7']);
});
ranges('Service ranges come from ServiceCIDRs or a flag, node ranges from addresses', () => {
  const found = detectRanges({}, observed(), undefined);
  assert.equal(found.serviceCIDRs, ['10.96.0.0/12']);
  assert.equal(found.nodeCIDRs, ['192.168.1.0/24']);
  const old = observed({
    serviceCIDRs: [],
    controlPlane: flags('a', '--service-cluster-ip-range=10.5.0.0/16'),
  });
  assert.equal(detectRanges({}, old, undefined).serviceCIDRs, ['10.5.0.0/16']);
});
ranges('ranges are normalized, and YAML values and flags are read', () => {
  assert.equal(tidy(['10.0.0.0/8', '10.1.0.0/16', 'nonsense', ' 10.0.0.0/8']), ['10.0.0.0/8']);
  assert.equal(yamlValues('server: https://x:6443 # here', 'server'), ['https://x:6443 ']);
  assert.equal(flagValues([], '--x'), []);
});
ranges('the external CIDR is kept while nothing overlaps it', () => {
  const found = detectRanges({}, observed(), undefined);
  const chosen = externalRange({}, undefined, 'a-1', found);
  assert.match(chosen, /^100\..*\/20$/);
  assert.is(externalRange({}, chosen, 'another', found), chosen);
  assert.is.not(externalRange({ reservedCIDRs: [chosen] }, chosen, 'a-1', found), chosen);
  assert.is(externalRange({ externalCIDR: '10.50.0.0/20' }, chosen, 'a-1', found), '10.50.0.0/20');
});
ranges('overlapping ranges are reported', () => {
  const found = { ...detectRanges({}, observed(), undefined), serviceCIDRs: ['10.244.128.0/20'] };
  assert.equal(inconsistencies(found, '100.64.0.0/20'), [
    '10.244.0.0/16 (pods) overlaps 10.244.128.0/20 (Services)',
  ]);
});
ranges('no node is left out, whatever the number of blocks', () => {
  const nodes = Array.from({ length: 300 }, (_, index) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `n${index}` },
    status: { addresses: [{ type: 'InternalIP', address: `172.${16 + (index % 16)}.${index % 250}.9` }] },
  }));
  const { nodeCIDRs } = detectRanges({}, observed({ nodes }), undefined);
  assert.ok(nodeCIDRs.length <= 64);
  const wide = readRanges(nodeCIDRs);
  for (const { status } of nodes) assert.ok(anyContains(wide, status.addresses[0]?.address ?? ''));
});
ranges.run();
