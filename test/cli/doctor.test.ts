/** Findings of `hawser doctor`: for a cluster without problems, and for one fault of the cluster at a time. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { countVerdicts, diagnose } from '../../cli/doctor/diagnose.ts';
import { essentialRights, rightReview, rightText } from '../../cli/doctor/rights.ts';
import { doctorText } from '../../cli/doctor/text.ts';
import { compareVersions } from '../../cli/doctor/versions.ts';
import {
  assertNamed,
  condition,
  healthy,
  onNode,
  plant,
  provider,
  setCondition,
  type Fault,
} from './doctor-setting.ts';
import { plain } from './run-cli.ts';

test('doctor finds no problem in a healthy cluster, and runs checks of every group', () => {
  const findings = plant(() => {});
  assert.equal(
    findings.filter(({ verdict }) => verdict !== 'Good'),
    [],
  );
  assert.ok(findings.length >= 18, `${findings.length} checks`);
  assert.is(new Set(findings.map(({ group }) => group)).size, 4);
  assert.match(doctorText(findings, plain), /^No problems found: \d+ checks passed\.$/m);
});

const faults: Fault[] = [
  [
    'a reserved range that overlaps the pod CIDR',
    'reserved-ranges',
    /10\.0\.0\.0\/8 overlaps 10\.244\.0\.0\/16, the pod CIDR of this cluster/,
    ({ self }) => {
      self.spec.reservedCIDRs = ['10.0.0.0/8'];
    },
  ],
  [
    'a reserved range that overlaps a remapped range',
    'reserved-ranges',
    /10\.128\.0\.0\/16, to which 10\.244\.0\.0\/16 of oak is remapped, overlaps the reserved range 10\.128\.4\.0\/24/,
    ({ self }) => {
      self.spec.reservedCIDRs = ['10.128.4.0/24'];
    },
  ],
  [
    'missing RBAC',
    'rights',
    /service account hawser-controller may not patch outgoingpeerings\.hawser\.dev\/status/,
    ({ facts }) => ({
      rights: facts.rights?.map((each) => ({
        ...each,
        allowed: each.right !== 'patch outgoingpeerings.hawser.dev/status',
      })),
    }),
  ],
  [
    'a gateway node that is not Ready',
    'gateway-node',
    /n1 is not Ready \(kubelet stopped posting\)/,
    () => ({
      nodes: [
        {
          name: 'n1',
          gateway: true,
          virtual: false,
          ready: 'Unknown',
          readyMessage: 'kubelet stopped posting',
        },
      ],
    }),
  ],
  [
    'a cluster without gateway node',
    'gateway-node',
    /no node is labelled as gateway node/,
    () => ({ nodes: [] }),
  ],
  [
    'a lost node that holds the tunnel endpoint',
    'gateway-node',
    /n1, which holds tunnel endpoint 0, is gone/,
    () => ({
      nodes: [{ name: 'n2', gateway: true, virtual: false, ready: 'True', readyMessage: '' }],
    }),
  ],
  [
    'strict rp_filter',
    'reverse-path-filter',
    /n1: reverse path filtering is strict/,
    onNode({ reason: 'ReversePathFilter', message: 'reverse path filtering is strict; set it to 2' }),
  ],
  [
    'a foreign rule that masquerades',
    'foreign-masquerade',
    /n1: a rule of nft chain ip x y/,
    onNode({
      reason: 'ForeignMasquerade',
      message: 'a rule of nft chain ip x y gives packets another source; let it',
    }),
  ],
  [
    'a CNI that drops',
    'foreign-drop',
    /n1: nft chain inet cni forward drops/,
    onNode({ reason: 'ForeignDrop', message: 'nft chain inet cni forward drops what it does not know; add' }),
  ],
  [
    'a node that was not updated',
    'versions',
    /node n1 runs Hawser 0\.8\.0/,
    ({ fabricNode }) => {
      if (fabricNode.status) fabricNode.status.version = '0.8.0';
    },
  ],
  [
    'a CNI that does not enforce network policies',
    'network-policies',
    /the CNI enforces none/,
    ({ self }) => {
      self.status?.conditions?.push(condition('NetworkPoliciesEnforced', 'False', 'the CNI enforces none'));
    },
  ],
];

for (const fault of faults) test(`doctor reports ${fault[0]} by its check`, () => assertNamed(fault));

test('doctor reports no problem for a cluster without peerings whose objects it may not read', () => {
  const { facts } = healthy();
  const findings = diagnose({
    ...facts,
    objects: { ...facts.objects, outgoing: [], incoming: [], tunnels: [], remotes: [], fabricNodes: [] },
    tokens: undefined,
    nodes: undefined,
    workloads: undefined,
    rights: undefined,
    kubelets: {},
  });
  assert.is(countVerdicts(findings).Bad, 0);
  assert.is(countVerdicts(findings).Unknown, 1);
});

test('doctor does not check DNS of twin namespaces where the provider reports no Service for it', () => {
  const verdictOf = (reason: string) =>
    plant((all) => {
      provider(all).state.problems = [{ type: 'NamesResolvable', reason, message: 'no Service kube-dns' }];
    }).find(({ check }) => check === 'twin-dns')?.verdict;
  assert.is(verdictOf('NoClusterDNS'), 'Unknown');
  assert.is(verdictOf('NoReadyEndpoint'), 'Bad');
});

test('doctor with a peering checks only that peering', () => {
  const { facts, incoming } = healthy();
  setCondition(incoming, condition('TenantReady', 'False', 'not yet'));
  const of = (only: string) => countVerdicts(diagnose({ ...facts, only })).Bad;
  assert.equal([of('oak'), of('fir')], [0, 1]);
});

test('versions are compatible up to a difference of two minor versions', () => {
  const cases: [string, string, string, boolean][] = [
    ['0.9.0', '0.9.0', 'Same', false],
    ['0.9.0', '0.7.4', 'Near', true],
    ['0.9.0', '0.6.9', 'TooFar', true],
    ['0.9.0', '0.11.0', 'Near', false],
    ['0.9.0', '0.12.0', 'TooFar', false],
    ['1.0.0', '0.9.0', 'TooFar', true],
    ['0.9.1', '0.9.0', 'Near', true],
    ['dev', 'dev', 'Same', false],
    ['dev', '0.9.0', 'Unknown', false],
  ];
  for (const [own, other, distance, older] of cases)
    assert.equal(compareVersions(own, other), { distance, older }, `${own} and ${other}`);
});

test('a permission becomes a SubjectAccessReview of its service account', () => {
  const [right] = essentialRights.filter(({ own, subresource }) => own && subresource === 'status');
  assert.ok(right);
  assert.is(rightText(right), 'update peeringtokens.hawser.dev/status');
  const { spec } = rightReview(right, 'ns') as { spec: { user: string; resourceAttributes: object } };
  assert.is(spec.user, 'system:serviceaccount:ns:hawser-gateway');
  assert.equal(spec.resourceAttributes, {
    verb: 'update',
    group: 'hawser.dev',
    resource: 'peeringtokens',
    subresource: 'status',
    namespace: 'ns',
  });
});

test.run();
