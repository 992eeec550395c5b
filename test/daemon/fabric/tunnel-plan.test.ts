import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { planTunnel, type TunnelInput } from '../../../daemon/fabric/controller/tunnel-plan.ts';
import { reportTunnel } from '../../../daemon/fabric/controller/tunnel-status.ts';
import type { FabricNode, NodeSession, Tunnel } from '../../../shared/api/network.ts';
import { keyOf } from './universe.ts';

const input: TunnelInput = {
  local: {
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'LocalCluster',
    metadata: { name: 'self' },
    spec: {},
    status: {
      clusterID: 'west',
      podCIDRs: ['10.244.0.0/16'],
      serviceCIDRs: ['10.96.0.0/16'],
      externalCIDR: '100.64.16.0/20',
      mtu: 1420,
    },
  },
  remoteCluster: 'east',
  document: {
    version: 1,
    clusterID: 'east',
    recipient: 'west',
    generation: 3,
    requires: [],
    podCIDRs: ['10.244.0.0/16'],
    externalCIDR: '100.64.32.0/20',
    mtu: 1380,
    tunnelEndpoints: [
      { name: '0', publicKey: keyOf('east'), addresses: ['gateway.east.example:7470', '198.51.100.7:7470'] },
    ],
    remaps: [
      { real: '10.244.0.0/16', mapped: '10.9.0.0/16' },
      { real: '10.96.0.0/16', mapped: '10.10.0.0/16' },
    ],
    salt: keyOf('salt'),
    acknowledges: 0,
  },
  present: undefined,
  others: [],
  nodeAddresses: ['172.18.0.2'],
  remote: { controlPlane: 'OutOfBand' },
  consumer: true,
  provider: false,
  presharedKeyRevision: 'abc',
  offloaded: [],
  remapsKnown: true,
};

const tunnel = (spec: Tunnel['spec']): Tunnel => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'Tunnel',
  metadata: { name: spec.remoteCluster, generation: 1 },
  spec,
});

test('a Tunnel is planned from the remote’s document', () => {
  const { spec, problems } = planTunnel(input);
  assert.equal(problems, []);
  assert.equal(spec, {
    remoteCluster: 'east',
    consumer: true,
    provider: false,
    remotePodCIDRs: ['10.244.0.0/16'],
    remoteExternalCIDR: '100.64.32.0/20',
    remoteTunnelEndpoints: [
      { name: '0', publicKey: keyOf('east'), addresses: ['gateway.east.example:7470', '198.51.100.7:7470'] },
    ],
    remaps: [
      { real: '10.244.0.0/16', mapped: '100.65.0.0/16', state: 'InUse' },
      { real: '100.64.32.0/20', mapped: '100.64.0.0/20', state: 'InUse' },
    ],
    remoteRemaps: [{ real: '10.244.0.0/16', mapped: '10.9.0.0/16' }],
    mtu: 1380,
    presharedKeyRevision: 'abc',
  });
});

test('a Tunnel holds the declared Service ranges that can be parsed', () => {
  const serviceCIDRs = ['10.96.0.0/12', '10.1.0.1/16', 'fd00:96::/112', '0.0.0.0/0', '128.0.0.0/1', '::/0'];
  const { spec, problems } = planTunnel({ ...input, document: { ...input.document, serviceCIDRs } });
  assert.equal(spec?.remoteServiceCIDRs, ['10.96.0.0/12', 'fd00:96::/112']);
  assert.match(problems.join(), /^4 of the Service ranges that east declares are no ranges or wider than/);
});

test('a tunnel key that another remote uses is refused', () => {
  const held = planTunnel(input).spec;
  assert.ok(held);
  const late = { ...input, remoteCluster: 'south', document: { ...input.document, clusterID: 'south' } };
  const { spec, problems } = planTunnel({ ...late, others: [tunnel(held)] });
  assert.equal(spec?.remoteTunnelEndpoints, []);
  assert.match(problems.join('\n'), /tunnel endpoint 0 of south has the tunnel key of east and is not used/);
  // The holder keeps its key, whatever another Tunnel contains, even an older one.
  const claiming = tunnel({ ...held, remoteCluster: 'south' });
  assert.equal(
    planTunnel({ ...input, present: tunnel(held), others: [claiming] }).spec?.remoteTunnelEndpoints,
    held.remoteTunnelEndpoints,
  );
});

test('planning again from the stored Tunnel changes nothing', () => {
  const first = planTunnel(input).spec;
  assert.ok(first);
  assert.equal(planTunnel({ ...input, present: tunnel(first) }).spec, first);
});

test('a range over a tunnel endpoint, a node or another tunnel is never used without remapping', () => {
  const document = { ...input.document, podCIDRs: ['198.51.100.0/24', '172.18.0.0/24', '10.7.0.0/16'] };
  const other = tunnel({
    ...(planTunnel(input).spec as Tunnel['spec']),
    remoteCluster: 'north',
    remaps: [{ real: '10.7.0.0/16', mapped: '10.7.0.0/16', state: 'Draining' }],
  });
  const { spec } = planTunnel({ ...input, document, others: [other] });
  for (const { real, mapped } of spec?.remaps.slice(0, 3) ?? []) assert.is.not(mapped, real);
});

test('an implausible document gives no Tunnel, with the reason', () => {
  const everything = planTunnel({ ...input, document: { ...input.document, podCIDRs: ['0.0.0.0/0'] } });
  assert.is(everything.spec, undefined);
  assert.match(everything.problems[0] ?? '', /larger than a \/8/);
  const overlapping = planTunnel({
    ...input,
    document: { ...input.document, externalCIDR: '10.244.16.0/20' },
  });
  assert.is(overlapping.spec, undefined);
});

test('malformed keys are left out', () => {
  const wrong = `${keyOf('east').slice(0, 42)}B=`;
  const document = { ...input.document, tunnelEndpoints: [{ name: '0', publicKey: wrong, addresses: [] }] };
  const { spec, problems } = planTunnel({ ...input, document });
  assert.equal(spec?.remoteTunnelEndpoints, []);
  assert.match(problems[0] ?? '', /no tunnel endpoint/);
});

test('an exhausted pool is reported', () => {
  const local = { ...input.local, spec: { remapPools: ['10.244.0.0/16'] } };
  const { spec, problems } = planTunnel({ ...input, local });
  assert.equal(spec?.remaps.length, 0);
  assert.match(problems[0] ?? '', /remapPools/);
});

const now = Date.parse('2026-05-01T12:00:00Z');
const gateway = (sessions: NodeSession[], tunnelEndpoint = '0'): FabricNode => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'FabricNode',
  metadata: { name: 'gateway' },
  spec: { tunnelEndpoint, externalAddress: '100.64.16.17' },
  status: { heldTunnelEndpoint: '0', sessions },
});
const session: NodeSession = {
  remoteCluster: 'east',
  tunnelEndpoint: '0',
  endpoint: '198.51.100.7:7470',
  latestHandshake: '2026-05-01T11:59:00Z',
  pathVerified: true,
  pathMessage: 'east answers',
  probedAt: '2026-05-01T11:59:58Z',
  roundTripMilliseconds: 12,
  receivedBytes: 1,
  sentBytes: 2,
};
const good = tunnel(planTunnel(input).spec as Tunnel['spec']);

test('each state that is not ready has its reason and a hint', () => {
  const { pathMessage: _said, ...rest } = session;
  const { latestHandshake: _at, ...unshaken } = rest;
  const table: [string, Tunnel, FabricNode[], string[], string, RegExp][] = [
    ['good', good, [gateway([session])], [], 'TunnelReady', /probes reach/],
    [
      'invalid document',
      good,
      [gateway([session])],
      ['it declares nonsense'],
      'RemoteDocumentInvalid',
      /nonsense/,
    ],
    [
      'no tunnel endpoint',
      tunnel({ ...good.spec, remoteTunnelEndpoints: [] }),
      [gateway([])],
      [],
      'NoRemoteEndpoint',
      /waiting for east/,
    ],
    [
      'no key',
      tunnel({ ...good.spec, presharedKeyRevision: '' }),
      [gateway([])],
      [],
      'WaitingForPresharedKey',
      /salts/,
    ],
    ['no gateway', good, [], [], 'NoGateway', /label a node hawser\.dev\/gateway=true/],
    ['gateway not there yet', good, [gateway([], '1')], [], 'NoGateway', /waiting for node gateway/],
    [
      'no handshake',
      good,
      [gateway([{ ...unshaken, pathVerified: false }])],
      [],
      'WaitingForHandshake',
      /UDP/,
    ],
    [
      'old handshake',
      good,
      [gateway([{ ...rest, pathVerified: false, latestHandshake: '2026-05-01T11:00:00Z' }])],
      [],
      'WaitingForHandshake',
      /since 2026-05-01T11:00:00Z/,
    ],
    ['no answer', good, [gateway([{ ...rest, pathVerified: false }])], [], 'NoAnswer', /first answer/],
    [
      'dead node',
      good,
      [gateway([{ ...session, probedAt: '2026-05-01T11:58:00Z' }])],
      [],
      'ReportStale',
      /has not reported/,
    ],
  ];
  for (const [name, object, nodes, problems, reason, message] of table) {
    const { findings } = reportTunnel(object, nodes, { problems, collisions: [] }, now);
    const ready = findings.find(({ type }) => type === 'Ready');
    assert.is(ready?.reason, reason, name);
    assert.is(ready?.status, name === 'good' ? 'True' : 'False', name);
    assert.match(ready?.message ?? '', message, name);
  }
});

test('among several gateway nodes the best one determines the status', () => {
  const dead = { ...gateway([{ ...session, pathVerified: false }], '0'), metadata: { name: 'dead' } };
  const { findings, fields } = reportTunnel(
    good,
    [dead, gateway([session])],
    { problems: [], collisions: [] },
    now,
  );
  assert.is(findings.find(({ type }) => type === 'PathVerified')?.status, 'True');
  assert.is(fields.gatewayNode, 'gateway');
  assert.is(fields.roundTripMilliseconds, 12);
});

test('the RemoteCluster determines whose control plane is reached through the tunnel', () => {
  const specOf = (remote: TunnelInput['remote'], more: Partial<TunnelInput> = {}) =>
    planTunnel({ ...input, remote, ...more }).spec;
  const beside = specOf({ controlPlane: 'OutOfBand' });
  assert.is(beside?.dialsInBand, undefined);
  assert.is(beside?.servesInBand, undefined);
  assert.is(specOf({ controlPlane: 'InBand' })?.dialsInBand, true);
  const answering = specOf({ controlPlane: 'OutOfBand', servesInBand: true }, { provider: true });
  assert.is(answering?.dialsInBand, undefined);
  assert.is(answering?.servesInBand, true);
  // Each direction is open while an existing or coming peering needs it.
  const both = { controlPlane: 'InBand', servesInBand: true } as const;
  for (const [more, asks, answers] of [
    [{ consumer: true, provider: false }, true, undefined],
    [{ consumer: false, provider: true }, undefined, true],
    [{ consumer: false, provider: false, opening: true }, true, true],
    [{ consumer: true, provider: false, opening: true }, true, true],
  ] as const) {
    const spec = specOf(both, more);
    assert.equal([spec?.dialsInBand, spec?.servesInBand], [asks, answers], JSON.stringify(more));
  }
});

test('endpoints set by a person take precedence over declared ones', () => {
  const { spec } = planTunnel({
    ...input,
    remote: { controlPlane: 'InBand', tunnelAddresses: ['vpn.east.example:40000'] },
  });
  assert.equal(
    spec?.remoteTunnelEndpoints.map(({ addresses }) => addresses),
    [['vpn.east.example:40000']],
  );
});

test('a remap in use that overlaps an own range waits for approval, is replaced, drains, and is removed', () => {
  const first = planTunnel(input).spec;
  const pods = first?.remaps.find(({ real }) => real === '10.244.0.0/16');
  if (first === undefined || pods === undefined) throw new Error('nothing was planned');
  const colliding: TunnelInput = {
    ...input,
    local: { ...input.local, spec: { reservedCIDRs: [pods.mapped] } },
    present: tunnel(first),
    offloaded: [pods.mapped.replace('.0.0/16', '.3.4')],
  };
  const asked = planTunnel(colliding);
  assert.equal(
    asked.spec?.remaps.map(({ mapped, state }) => [mapped, state]),
    first.remaps.map(({ mapped, state }) => [mapped, state]),
    'nothing moves by itself',
  );
  assert.equal(asked.collisions, [{ real: pods.real, mapped: pods.mapped, own: pods.mapped }]);
  const { findings } = reportTunnel(tunnel(first), [], asked, 0);
  const told = findings.find(({ type }) => type === 'RemapsFree');
  assert.is(told?.status, 'False');
  assert.match(
    told?.message ?? '',
    /stays in use until its reassignment is approved: hawser remap approve east/,
  );

  const approved = tunnel(first);
  approved.metadata.annotations = { 'hawser.dev/approved-remaps': `10.99.0.0/16, ${pods.mapped}` };
  const moved = planTunnel({ ...colliding, present: approved });
  assert.equal(moved.collisions, []);
  const states = (spec: Tunnel['spec'] | undefined) =>
    spec?.remaps.filter(({ real }) => real === pods.real).map(({ state }) => state);
  assert.equal(states(moved.spec), ['Draining', 'InUse']);
  if (moved.spec === undefined) throw new Error('nothing was planned');
  const present = { ...tunnel(moved.spec), metadata: approved.metadata };
  assert.equal(states(planTunnel({ ...colliding, present }).spec), ['Draining', 'InUse'], 'a pod has it');
  const unknown = { ...colliding, present, offloaded: [], remapsKnown: false };
  assert.equal(states(planTunnel(unknown).spec), ['Draining', 'InUse'], 'the remote does not know');
  const last = planTunnel({ ...colliding, present, offloaded: [] }).spec;
  assert.equal(states(last), ['InUse'], 'no pod uses it any more');
});

test.run();
