/** What `hawser doctor` says: of a cluster that is well, and of one thing at a time that is wrong with the cluster itself. */
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
  plain,
  plant,
  setCondition,
  type Fault,
} from './doctor-setting.ts';

test('a cluster that is well: everything was looked at, and nothing is said against it', () => {
  const findings = plant(() => {});
  assert.equal(
    findings.filter(({ verdict }) => verdict !== 'Good'),
    [],
  );
  assert.ok(findings.length >= 18, `${findings.length} checks`);
  assert.is(new Set(findings.map(({ group }) => group)).size, 4);
  assert.match(doctorText(findings, plain), /^All is well: \d+ checks\.$/m);
});

const faults: Fault[] = [
  [
    'a reserved range over this cluster’s own pods',
    'reserved-ranges',
    /10\.0\.0\.0\/8 overlaps 10\.244\.0\.0\/16, from which this cluster’s pods/,
    ({ self }) => {
      self.spec.reservedCIDRs = ['10.0.0.0/8'];
    },
  ],
  [
    'a reserved range over a remapping',
    'reserved-ranges',
    /10\.128\.0\.0\/16, by which 10\.244\.0\.0\/16 of oak is known here, overlaps the reserved range 10\.128\.4\.0\/24/,
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
    'the gateway node is not Ready',
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
  ['no gateway node', 'gateway-node', /no node is labelled to be a gateway/, () => ({ nodes: [] })],
  [
    'the node that holds the tunnel endpoint is gone',
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
    'network policies that nobody enforces',
    'network-policies',
    /the CNI enforces none/,
    ({ self }) => {
      self.status?.conditions?.push(condition('NetworkPoliciesEnforced', 'False', 'the CNI enforces none'));
    },
  ],
];

for (const fault of faults) test(`named: ${fault[0]}`, () => assertNamed(fault));

test('a cluster without peerings, where little may be read, is no error', () => {
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

test('only the peering that was asked about', () => {
  const { facts, incoming } = healthy();
  setCondition(incoming, condition('TenantReady', 'False', 'not yet'));
  const of = (only: string) => countVerdicts(diagnose({ ...facts, only })).Bad;
  assert.equal([of('oak'), of('fir')], [0, 1]);
});

test('versions: N and N−2 work together, and no further', () => {
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

test('rights are asked about as the API server reads them', () => {
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
