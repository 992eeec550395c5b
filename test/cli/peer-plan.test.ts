/** The plan of `hawser peer --plan`, from the provider's preview and this cluster's objects. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { planPeering, type PlanInput } from '../../cli/peer-plan/plan.ts';
import { planText } from '../../cli/peer-plan/text.ts';
import { plain } from './run-cli.ts';
import type { LocalCluster } from '../../shared/api/clusters.ts';
import { defaultGrant } from '../../shared/api/grant.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { Tunnel } from '../../shared/api/network.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';

const key = `${'A'.repeat(43)}=`;
const now = Date.parse('2026-01-01T12:00:00Z');

function tunnel(remoteCluster: string, mapped: string, mtu = 1420): Tunnel {
  return {
    apiVersion,
    kind: 'Tunnel',
    metadata: { name: remoteCluster },
    spec: {
      remoteCluster,
      consumer: false,
      provider: true,
      remotePodCIDRs: ['10.244.0.0/16'],
      remoteExternalCIDR: '100.64.32.0/20',
      remoteTunnelEndpoints: [],
      remaps: [{ real: '10.244.0.0/16', mapped, state: 'InUse' }],
      remoteRemaps: [],
      mtu,
      presharedKeyRevision: '1',
    },
  };
}

const self = (spec: LocalCluster['spec'] = {}): LocalCluster => ({
  apiVersion,
  kind: 'LocalCluster',
  metadata: { name: 'self' },
  spec,
  status: {
    clusterID: 'elm',
    version: '0.9.0',
    podCIDRs: ['10.244.0.0/16'],
    serviceCIDRs: ['10.96.0.0/16'],
    externalCIDR: '100.64.0.0/20',
    mtu: 1420,
    tunnelEndpoints: [{ name: '0', publicKey: key, addresses: ['198.51.100.1:7470'] }],
  },
});

const input = (changes: Partial<PlanInput> = {}): PlanInput => ({
  token: {
    gatewayURL: 'https://192.0.2.1:7443',
    clusterID: 'oak',
  },
  preview: {
    clusterID: 'oak',
    publicKey: key,
    expiresAt: '2026-01-01T12:15:00Z',
    grant: defaultGrant,
    podCIDRs: ['10.244.0.0/16'],
    externalCIDR: '100.64.16.0/20',
    mtu: 1420,
    tunnelAddresses: ['192.0.2.2:7470'],
    apiServerURL: 'https://192.0.2.3:6443',
    version: '0.9.0',
    features: [],
  },
  self: self(),
  tunnels: [],
  fabricNodes: [],
  outgoing: [],
  nodes: [{ name: 'n1', virtual: false, gateway: true, addresses: ['203.0.113.1'] }],
  name: 'oak',
  nodeName: 'hawser-oak',
  namespace: 'hawser-system',
  ...changes,
});

const outgoing: OutgoingPeering = {
  apiVersion,
  kind: 'OutgoingPeering',
  metadata: { name: 'oak' },
  spec: { remoteCluster: 'oak', peering: 'default', nodeName: 'hawser-oak', desired: 'Active' },
};

test('a plan remaps every range of the provider, and reports no problems', () => {
  const plan = planPeering(input());
  assert.equal(plan.remappings, [
    { real: '10.244.0.0/16', mapped: '100.65.0.0/16', new: true },
    { real: '100.64.16.0/20', mapped: '100.64.32.0/20', new: true },
  ]);
  assert.equal(plan.problems, []);
  assert.equal(plan.disturbed, [
    'none: the remappings of other peerings and existing connections do not change',
  ]);
  assert.equal(plan.endpoints.dialled, [
    'API gateway https://192.0.2.1:7443',
    'API server https://192.0.2.3:6443',
    'tunnel 192.0.2.2:7470/udp',
  ]);
  assert.match(plan.endpoints.exposed.join(), 'tunnel 198.51.100.1:7470/udp');
  assert.equal(plan.writes, [
    'Secret hawser-token-oak in hawser-system, until the token is redeemed',
    'OutgoingPeering oak',
  ]);
  const text = planText(plan, now, plain);
  assert.match(text, 'Nothing was changed.');
  assert.match(text, 'remote 10.244.0.0/16 remapped here to 100.65.0.0/16');
  assert.match(text, '4 CPUs, 8Gi memory, 110 pods; pod security baseline');
  assert.match(text, 'by a token that expires in 15 min');
  assert.not.match(text, 'Problems');
});

test('an accepted range is not remapped, and a range that waits for approval is listed', () => {
  const accepted = { acceptedRemoteCIDRs: [{ remoteCluster: 'oak', cidrs: ['10.42.0.0/16'] }] };
  const preview = { ...input().preview, podCIDRs: ['10.42.0.0/16', '172.0.0.0/11'] };
  const plan = planPeering(input({ self: self(accepted), preview }));
  assert.equal(plan.remappings[0], { real: '10.42.0.0/16', mapped: '10.42.0.0/16', new: true });
  assert.equal(plan.problems, [], 'the peering works without');
  const text = planText(plan, now, plain);
  assert.match(text, 'remote 10.42.0.0/16 not remapped here');
  assert.match(
    text,
    /Waiting ranges\n  172\.0\.0\.0\/11 of oak is not remapped: .* hawser remap approve oak 172/,
  );
  const others = { acceptedRemoteCIDRs: [{ remoteCluster: 'fir', cidrs: ['10.42.0.0/16'] }] };
  const foreign = planPeering(input({ self: self(others), preview }));
  assert.is(foreign.remappings[0]?.mapped, '100.65.0.0/16', 'a range accepted of another remote');
});

test('an in-band plan dials the tunnel only, and names what the command writes on both sides', () => {
  const { apiServerURL: _, ...preview } = input().preview;
  const token = { clusterID: 'oak' };
  const plan = planPeering(input({ inBand: {}, token, preview }));
  assert.equal(plan.problems, []);
  assert.equal(plan.endpoints.dialled, [
    'API gateway and API server inside the tunnel, at an address of the provider’s external CIDR',
    'tunnel 192.0.2.2:7470/udp',
  ]);
  assert.match(plan.writes.join('; '), 'Secret hawser-in-band-token in hawser-system');
  assert.match(
    plan.writes.join('; '),
    'RemoteCluster oak, and a RemoteCluster for this cluster at the provider',
  );
  assert.match(planText(plan, now, plain), 'Plan for a peering with oak, in-band (Hawser');
  // In reverse the provider dials, and needs no endpoint itself.
  const called = planPeering(
    input({
      inBand: { calledAt: 'vpn.example:7470' },
      token,
      preview: { ...preview, tunnelAddresses: [] },
    }),
  );
  assert.equal(called.problems, []);
  assert.match(called.endpoints.exposed[0] ?? '', 'tunnel vpn.example:7470/udp');
  assert.match(
    planPeering(input({ inBand: {}, token, preview: { ...preview, tunnelAddresses: [] } })).problems.join(),
    'the provider has no tunnel endpoint yet',
  );
});

test('a plan avoids used and reserved ranges, and keeps existing remappings', () => {
  const mapped = (changes: Partial<PlanInput>) => planPeering(input(changes)).remappings[0]?.mapped;
  assert.is(mapped({ tunnels: [tunnel('fir', '100.65.0.0/16')] }), '100.66.0.0/16');
  assert.is(mapped({ self: self({ reservedCIDRs: ['100.64.0.0/10'] }) }), '10.128.0.0/16');
  const fabricNode = { apiVersion, kind: 'FabricNode', metadata: { name: 'n1' }, spec: {} };
  const networks = [{ range: '100.64.0.0/12', what: 'Route' as const }];
  assert.is(mapped({ fabricNodes: [{ ...fabricNode, status: { networks } }] }), '100.80.0.0/16');
  assert.is(mapped({ tunnels: [tunnel('oak', '10.200.0.0/16')] }), '10.200.0.0/16');
  assert.is(planPeering(input({ tunnels: [tunnel('oak', '10.200.0.0/16')] })).remappings[0]?.new, false);
});

test('a plan names its effects on existing peerings', () => {
  const disturbed = (changes: Partial<PlanInput>) => planPeering(input(changes)).disturbed.join('; ');
  assert.match(disturbed({ outgoing: [outgoing] }), 'would redeem this token');
  assert.match(
    disturbed({ tunnels: [tunnel('oak', '10.200.0.0/16')] }),
    'that cluster is a consumer of this one) and would be shared',
  );
  const small = { ...input().preview, mtu: 1300 };
  assert.match(
    disturbed({ tunnels: [tunnel('fir', '10.200.0.0/16')], preview: small }),
    'from 1420 to 1300;',
  );
  assert.match(disturbed({ tunnels: [tunnel('fir', '10.200.0.0/16')] }), /^none:/);
});

test('a plan names each problem', () => {
  const { preview } = input();
  const node = (name: string, gateway: boolean) => ({ name, virtual: false, gateway, addresses: [] });
  const { externalCIDR: _, ...unknown } = preview;
  const { apiServerURL: _url, ...silent } = preview;
  const cases: [Partial<PlanInput>, RegExp][] = [
    [{ preview: { ...preview, version: '0.5.0' } }, /0\.5\.0 there and 0\.9\.0 here are not compatible/],
    [{ nodes: [node('n1', false)] }, /no node is labelled/],
    [{ nodes: [node('n1', true), node('hawser-oak', false)] }, /node hawser-oak exists already/],
    [{ preview: { ...preview, tunnelAddresses: [] } }, /no tunnel endpoint yet/],
    [{ preview: silent }, /the address of its API server/],
    [{ preview: unknown }, /has not detected its own ranges/],
    [{ preview: { ...preview, podCIDRs: ['127.0.0.0/16'] } }, /which is reserved/],
    [
      { self: self({ remapPools: ['10.96.0.0/16', '100.80.0.0/20'] }) },
      /no free range to remap 10\.244\.0\.0\/16/,
    ],
  ];
  for (const [changes, expected] of cases) {
    const { problems } = planPeering(input(changes));
    assert.is(problems.length, 1, problems.join('; '));
    assert.match(problems[0] ?? '', expected);
  }
  assert.equal(
    planPeering(input({ outgoing: [outgoing], nodes: [node('n1', true), node('hawser-oak', false)] }))
      .problems,
    [],
  );
});

test.run();
