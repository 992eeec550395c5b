/** What `hawser doctor` names: a cluster that is well, and one thing wrong at a time. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { countVerdicts, diagnose } from '../../cli/doctor/diagnose.ts';
import { essentialRights, rightReview, rightText } from '../../cli/doctor/rights.ts';
import { doctorText } from '../../cli/doctor/text.ts';
import { compareVersions } from '../../cli/doctor/versions.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import {
  condition,
  grant,
  healthy,
  object,
  onNode,
  plain,
  plant,
  provider,
  setCondition,
} from './doctor-world.ts';

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

const planted: [what: string, check: string, seen: RegExp, spoil: Parameters<typeof plant>[0]][] = [
  [
    'network policies that do not hold',
    'network-policies',
    /closed does not hold/,
    ({ facts }) => {
      const said = condition('NetworkPoliciesHold', 'False', 'closed does not hold for pods at providers.');
      const offloading = object('NamespaceOffloading', 'offloading', {
        status: { conditions: [said], remotes: [{ peering: 'oak' }] },
      });
      return { world: { ...facts.world, offloadings: [offloading] } };
    },
  ],
  [
    'wrong pin',
    'certificate-pin',
    /another key than the peering token names/,
    (all) => {
      provider(all).word.problem = {
        reason: 'WrongPin',
        message: 'the gateway at 192.0.2.9 shows a certificate with another key than the peering token names',
      };
    },
  ],
  [
    'wrong pin, before anything else',
    'certificate-pin',
    /certificate with another key/,
    ({ outgoing }) => {
      delete outgoing.status?.identity;
      delete outgoing.status?.provider;
      setCondition(
        outgoing,
        condition('IdentityValid', 'False', 'a certificate with another key', 'KeyMismatch'),
      );
    },
  ],
  [
    'expired token, at the consumer',
    'token',
    /the peering token expired at/,
    ({ outgoing }) => {
      delete outgoing.status?.identity;
      delete outgoing.status?.provider;
      setCondition(
        outgoing,
        condition('IdentityValid', 'False', 'the peering token expired at 11:00', 'TokenRefused'),
      );
    },
  ],
  [
    'expired token, at the provider',
    'token-expired',
    /token-1 expired 60 min ago and was never redeemed/,
    () => ({
      tokens: [
        object('PeeringToken', 'token-1', {
          spec: { secretHash: 'a'.repeat(64), expiresAt: '2026-01-01T11:00:00Z', grant },
        }),
      ],
    }),
  ],
  [
    'clock skew that is refused',
    'clock-skew',
    /set the clocks, at most 5 minutes/,
    (all) => {
      provider(all).word.problem = {
        reason: 'ClockSkew',
        message: 'the signature was created at 11:00 and it is 12:00 here: set the clocks, at most 5 minutes',
      };
    },
  ],
  [
    'clock skew that is not yet refused',
    'clock-skew',
    /the clock of oak is 2 min behind this cluster’s/,
    (all) => {
      provider(all).word.clockOffsetSeconds = -120;
    },
  ],
  [
    'blocked UDP',
    'udp-blocked',
    /no handshake with oak yet; its endpoints.*; oak has none either/,
    (all) => {
      provider(all).state.tunnel = { established: false, pathVerified: false };
      setCondition(
        all.tunnel,
        condition(
          'Established',
          'False',
          'no handshake with oak yet; its endpoints: 192.0.2.7:7470',
          'WaitingForHandshake',
        ),
      );
    },
  ],
  [
    'MTU black hole',
    'mtu-black-hole',
    /takes packets of 1200 bytes, and 1420 were planned/,
    ({ tunnel }) => {
      if (tunnel.status) tunnel.status.pathMTU = 1200;
    },
  ],
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
    'quota exhausted, as the provider tells',
    'quota',
    /oak grants is used up: 10 of 10 pods/,
    (all) => {
      provider(all).state.used = { cpu: '1', memory: '1Gi', pods: 10 };
    },
  ],
  [
    'quota exhausted, at the provider',
    'quota',
    /fir has used up its grant: 4 of 4 CPUs/,
    ({ incoming }) => {
      if (incoming.status) incoming.status.used = { cpu: '4', memory: '1Gi', pods: 2 };
    },
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
    'the node that holds the slot is gone',
    'gateway-node',
    /n1, which holds slot 0, is gone/,
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
    'a session over which no packet comes back',
    'path',
    /no answer of oak at 10\.128\.0\.1 since 11:59/,
    (all) => {
      provider(all).state.tunnel = { established: true, pathVerified: false };
      setCondition(
        all.tunnel,
        condition('PathVerified', 'False', 'no answer of oak at 10.128.0.1 since 11:59', 'NoAnswer'),
      );
    },
  ],
  [
    'DNS broken in the twin',
    'twin-dns',
    /oak says: no endpoint of the provider’s Service kube-dns/,
    (all) => {
      provider(all).state.problems = [
        { type: 'NamesResolvable', message: 'no endpoint of the provider’s Service kube-dns is ready' },
      ];
    },
  ],
  [
    'expired identity',
    'identity-expired',
    /the identity at oak expired 60 min ago: expired at 11:00 and not renewed/,
    ({ outgoing }) => {
      if (outgoing.status?.identity) outgoing.status.identity.expiresAt = '2026-01-01T11:00:00Z';
      setCondition(
        outgoing,
        condition('IdentityValid', 'False', 'expired at 11:00 and not renewed: no answer', 'IdentityExpired'),
      );
    },
  ],
  [
    'version too old',
    'version',
    /oak runs Hawser 0\.6\.3, which is too old for 0\.9\.0 here/,
    (all) => {
      provider(all).state.version = '0.6.3';
    },
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
    'the kubelet API is not reached by the API server',
    'kubelet-api',
    /does not reach the kubelet API of node hawser-oak: dial tcp: connection refused/,
    () => ({ kubelets: { 'hawser-oak': { status: 503, message: 'dial tcp: connection refused' } } }),
  ],
  [
    'the gateway is not reached',
    'gateway-unreachable',
    /oak told nothing: no answer from the gateway/,
    (all) => {
      provider(all).word.problem = {
        reason: 'ProviderUnreachable',
        message: 'no answer from the gateway at https://oak:7443',
      };
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
  [
    'loss',
    'loss',
    /8 of the last 64 probes to oak were lost/,
    ({ tunnel }) => {
      if (tunnel.status) tunnel.status.probes = { asked: 64, lost: 8 };
    },
  ],
  [
    'a range without a place',
    'remapping',
    /no free range stands here for 10\.244\.0\.0\/16 of oak/,
    ({ tunnel }) => {
      tunnel.spec.remaps.shift();
    },
  ],
  [
    'something that the provider alone sees',
    'provider-says',
    /oak says: the Secret identity was deleted/,
    (all) => {
      provider(all).state.problems = [{ type: 'Revoked', message: 'the Secret identity was deleted' }];
    },
  ],
  ['no tunnel', 'tunnel', /there is no tunnel to oak yet/, () => undefined],
];

for (const [what, check, seen, spoil] of planted) {
  test(`named: ${what}`, () => {
    const findings =
      check === 'tunnel'
        ? (() => {
            const { facts } = healthy();
            return diagnose({
              ...facts,
              world: { ...facts.world, tunnels: [facts.world.tunnels[1] as Tunnel] },
            });
          })()
        : plant(spoil);
    const wrong = findings.filter(({ verdict }) => verdict === 'Bad' || verdict === 'Warning');
    const found = wrong.find((finding) => finding.check === check);
    assert.ok(found, `${check} is not among ${wrong.map((each) => each.check).join(', ')}`);
    assert.match(found.seen, seen);
    assert.ok((found.why ?? '') !== '' && (found.hint ?? '') !== '', 'why it matters and what to do');
    const text = doctorText(findings, plain);
    assert.match(text, found.seen);
    assert.match(text, `do    ${found.hint}`);
  });
}

test('a cluster without peerings, where little may be read, is no error', () => {
  const { facts } = healthy();
  const findings = diagnose({
    ...facts,
    world: { ...facts.world, outgoing: [], incoming: [], tunnels: [], remotes: [], fabricNodes: [] },
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
