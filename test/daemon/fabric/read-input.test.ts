import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EndpointChoice } from '../../../daemon/fabric/node/address-choice.ts';
import { planNode } from '../../../daemon/fabric/plan/node-plan.ts';
import { readInput, trimPod, type InputObjects } from '../../../daemon/fabric/node/read-input.ts';
import type { Pod } from '../../../shared/kube/types.ts';
import type { FabricNode, Tunnel } from '../../../shared/api/network.ts';
import type { TwinNamespace } from '../../../shared/api/offloading.ts';
import type { IncomingPeering, OutgoingPeering } from '../../../shared/api/peerings.ts';
import { keyOf } from './universe.ts';

const apiVersion = 'hawser.dev/v1alpha1';
const pod = (
  name: string,
  node: string,
  ip: string,
  more: { phase?: string; namespace?: string; created?: string; hostNetwork?: boolean } = {},
): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: more.namespace ?? 'default',
    creationTimestamp: more.created ?? '2026-01-01T00:00:00Z',
  },
  spec: { containers: [], nodeName: node, ...(more.hostNetwork === true && { hostNetwork: true }) },
  status: { phase: more.phase ?? 'Running', podIP: ip, podIPs: [{ ip }] },
});
const fabricNode = (
  name: string,
  spec: FabricNode['spec'],
  status: FabricNode['status'] = {},
): FabricNode => ({
  apiVersion,
  kind: 'FabricNode',
  metadata: { name },
  spec,
  status,
});
const tunnel = (
  remoteCluster: string,
  more: Partial<Tunnel['spec']> = {},
  created = '2026-01-01T00:00:00Z',
): Tunnel => ({
  apiVersion,
  kind: 'Tunnel',
  metadata: { name: remoteCluster, creationTimestamp: created },
  spec: {
    remoteCluster,
    consumer: true,
    provider: true,
    remotePodCIDRs: ['10.244.0.0/16'],
    remoteExternalCIDR: '100.64.32.0/20',
    remoteTunnelEndpoints: [{ name: '0', publicKey: keyOf(remoteCluster), addresses: ['198.51.100.7:7470'] }],
    remaps: [
      { real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'InUse' },
      { real: '100.64.32.0/20', mapped: '100.64.32.0/20', state: 'InUse' },
    ],
    remoteRemaps: [],
    mtu: 1420,
    presharedKeyRevision: 'x',
    ...more,
  },
});
const twin = (tenant: string, namespace: string, bound?: 'True' | 'False'): TwinNamespace => ({
  apiVersion,
  kind: 'TwinNamespace',
  metadata: { name: namespace, namespace: tenant },
  spec: { sourceNamespace: 'shop', sourceUID: 'u', namespace },
  status: {
    namespace,
    ...(bound !== undefined && {
      conditions: [
        {
          type: 'Bound',
          status: bound,
          reason: 'R',
          message: '',
          lastTransitionTime: '2026-01-01T00:00:00Z',
        },
      ],
    }),
  },
});
const incoming = (remoteCluster: string, tenantNamespace: string): IncomingPeering =>
  ({
    apiVersion,
    kind: 'IncomingPeering',
    metadata: { name: remoteCluster },
    spec: { remoteCluster },
    status: { tenantNamespace },
  }) as unknown as IncomingPeering;
const outgoing = (remoteCluster: string, nodeName: string): OutgoingPeering =>
  ({
    apiVersion,
    kind: 'OutgoingPeering',
    metadata: { name: remoteCluster },
    spec: { remoteCluster, nodeName },
  }) as unknown as OutgoingPeering;

const objects: InputObjects = {
  localCluster: {
    apiVersion,
    kind: 'LocalCluster',
    metadata: { name: 'self' },
    spec: {},
    status: {
      clusterID: 'west',
      podCIDRs: ['10.244.0.0/16'],
      serviceCIDRs: ['10.96.0.0/16'],
      externalCIDR: '100.64.16.0/20',
    },
  },
  fabricNodes: [
    fabricNode(
      'n1',
      { externalAddress: '100.64.16.16' },
      { publicKey: keyOf('n1'), endpoint: '192.0.2.1:7470' },
    ),
    fabricNode(
      'n2',
      { externalAddress: '100.64.16.17', tunnelEndpoint: '0' },
      { publicKey: keyOf('tunnelEndpoint'), endpoint: '192.0.2.2:7470', heldTunnelEndpoint: '0' },
    ),
  ],
  tunnels: [tunnel('east')],
  pods: [pod('a', 'n1', '10.244.1.5')],
  twinNamespaces: [],
  incomingPeerings: [],
  outgoingPeerings: [],
  addressMappings: [],
  node: { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, spec: { podCIDRs: ['10.244.1.0/24'] } },
  tenantNamespaces: [],
  tenantPods: [],
  dnsPods: [],
};
const node = {
  name: 'n1',
  address: '192.0.2.1',
  publicKey: keyOf('n1'),
  underlayMTU: 1500,
  namespace: 'hawser-system',
};
const gateway = {
  ...node,
  name: 'n2',
  address: '192.0.2.2',
  publicKey: keyOf('tunnelEndpoint'),
  tunnelEndpoint: '0',
};
const keys = new Map([
  ['east', new Uint8Array(32).fill(1)],
  ['north', new Uint8Array(32).fill(2)],
]);
const read = (changes: Partial<InputObjects>, self: typeof node & { tunnelEndpoint?: string } = gateway) =>
  readInput({ ...objects, ...changes }, self, keys, ({ addresses }) =>
    addresses.find((endpoint) => /^[0-9[]/.test(endpoint)),
  );
const addressesOf = (hosts: readonly { address: string }[]) => hosts.map(({ address }) => address);
const plan = (changes: Partial<InputObjects>, self: typeof node & { tunnelEndpoint?: string } = gateway) =>
  planNode(read(changes, self));
const route = (
  changes: Partial<InputObjects>,
  prefix: string,
  self: typeof node & { tunnelEndpoint?: string } = gateway,
) => plan(changes, self).device.routes.find((each) => each.prefix === prefix)?.targets;

test('an address belongs to the pod that has it now', () => {
  const over = pod('over', 'n2', '10.244.1.5', { phase: 'Succeeded', created: '2026-02-01T00:00:00Z' });
  const failed = pod('failed', 'n2', '10.244.1.5', { phase: 'Failed', created: '2026-02-01T00:00:00Z' });
  const host = pod('host', 'n2', '10.244.1.5', { hostNetwork: true, created: '2026-02-01T00:00:00Z' });
  for (const other of [over, failed, host]) {
    assert.equal(
      route({ pods: [...objects.pods, other] }, '10.244.1.5/32'),
      [keyOf('n1')],
      other.metadata.name,
    );
  }
  const newer = pod('newer', 'n2', '10.244.1.5', { created: '2026-02-01T00:00:00Z' });
  assert.equal(route({ pods: [newer, ...objects.pods] }, '10.244.1.5/32'), ['local']);
});

test('pods outside of the declared ranges are not part of the fabric', () => {
  assert.is(route({ pods: [pod('x', 'n1', '192.0.2.1')] }, '192.0.2.1/32'), undefined);
  assert.is(route({ pods: [pod('x', 'n1', 'nonsense')] }, 'nonsense/32'), undefined);
});

test('a node without a tunnel endpoint routes all remote ranges to the gateway node', () => {
  const made = plan({}, node);
  assert.equal(
    made.device.peers.map(({ publicKey }) => publicKey),
    [keyOf('tunnelEndpoint')],
  );
  assert.equal(route({}, '10.128.0.0/16', node), [keyOf('tunnelEndpoint')]);
  assert.equal(route({}, '10.244.1.5/32', node), ['local']);
  assert.is(made.device.peers[0]?.presharedKey, undefined);
  assert.is(made.device.peers[0]?.admission, undefined);
  assert.equal(made.probes, { targets: [] });
});

test('while a tunnel endpoint moves, a node that only reports to hold it is not a gateway node', () => {
  const moving = [
    fabricNode('n1', {}, { publicKey: keyOf('n1'), endpoint: '192.0.2.1:7470' }),
    fabricNode(
      'n2',
      {},
      { publicKey: keyOf('tunnelEndpoint'), endpoint: '192.0.2.2:7470', heldTunnelEndpoint: '0' },
    ),
    fabricNode(
      'n3',
      { tunnelEndpoint: '0' },
      { publicKey: keyOf('tunnelEndpoint'), endpoint: '192.0.2.3:7470', heldTunnelEndpoint: '0' },
    ),
  ];
  const made = plan({ fabricNodes: moving }, node);
  assert.equal(
    made.device.peers.map(({ endpoint }) => endpoint),
    ['192.0.2.3:7470'],
  );
  const early = [
    ...moving.slice(0, 2),
    fabricNode('n3', { tunnelEndpoint: '0' }, { publicKey: keyOf('n3'), endpoint: '192.0.2.3:7470' }),
  ];
  assert.equal(plan({ fabricNodes: early }, node).device.peers, []);
});

test('of two nodes with the same key the first stays, with a warning', () => {
  const twice = [
    ...objects.fabricNodes,
    fabricNode('n3', {}, { publicKey: keyOf('n1'), endpoint: '192.0.2.3:7470' }),
  ];
  const made = plan({ fabricNodes: twice });
  assert.is(made.device.peers.filter(({ publicKey }) => publicKey === keyOf('n1')).length, 1);
  assert.match(made.warnings.join(), /node n3 has the same tunnel key as another/);
});

test('twin namespaces are mapped to their consumers', () => {
  const peerings = [incoming('east', 'tenant-east'), incoming('north', 'tenant-north')];
  const twins = (...twinNamespaces: TwinNamespace[]) => [
    ...read({ twinNamespaces, incomingPeerings: peerings }).twins,
  ];
  assert.equal(twins(twin('tenant-east', 'shop')), [['shop', 'east']]);
  assert.equal(twins(twin('tenant-east', 'shop', 'True')), [['shop', 'east']]);
  assert.equal(twins(twin('tenant-east', 'shop', 'False')), []);
  assert.equal(twins(twin('elsewhere', 'shop')), []);
  assert.equal(
    twins(twin('tenant-east', 'shop'), twin('tenant-north', 'shop')),
    [],
    'contested: belongs to neither',
  );
});

test('a virtual node with the name of a real one is ignored', () => {
  const changes = { outgoingPeerings: [outgoing('east', 'n1'), outgoing('north', 'virtual')] };
  assert.equal([...read(changes).virtualNodes], [['virtual', 'north']]);
  assert.equal(route(changes, '10.244.1.5/32'), [keyOf('n1')]);
});

test('a remote’s declarations take nothing from another remote or this cluster', () => {
  const evil = (more: Partial<Tunnel['spec']>) => [
    tunnel('east'),
    tunnel('north', more, '2026-02-01T00:00:00Z'),
  ];
  const sameKey = plan({
    tunnels: evil({ remoteTunnelEndpoints: [{ name: '0', publicKey: keyOf('east'), addresses: [] }] }),
  });
  assert.is(sameKey.remotePeers.get(keyOf('east'))?.remoteCluster, 'east');
  assert.match(sameKey.warnings.join(), /tunnel endpoint 0 of north has the same tunnel key as another/);
  const ownKey = plan({
    tunnels: evil({
      remoteTunnelEndpoints: [{ name: '0', publicKey: keyOf('tunnelEndpoint'), addresses: [] }],
    }),
  });
  assert.equal([...ownKey.remotePeers.keys()], [keyOf('east')]);

  const sameRange = plan({ tunnels: evil({}) });
  assert.equal(sameRange.device.routes.find(({ prefix }) => prefix === '10.128.0.0/16')?.targets, [
    keyOf('east'),
  ]);
  for (const mapped of ['10.244.7.0/24', '10.96.0.0/16', '192.0.2.0/24', '100.64.16.0/24']) {
    const made = plan({ tunnels: evil({ remaps: [{ real: '10.9.0.0/16', mapped, state: 'InUse' }] }) });
    assert.not.ok(
      made.host.routes.some(({ prefix }) => prefix === mapped),
      mapped,
    );
    assert.match(made.warnings.join(), /is not routed/);
  }
  // A remap that was in use before this cluster declared an overlapping range continues, but never over an own address.
  for (const [mapped, routed] of [
    ['10.244.77.0/24', true],
    ['10.96.0.0/16', true],
    ['10.244.0.0/16', false],
    ['192.0.2.0/24', false],
  ] as const) {
    const made = plan({
      tunnels: evil({ remaps: [{ real: '10.9.0.0/16', mapped, state: 'InUse', held: true }] }),
    });
    assert.is(
      made.host.routes.some(({ prefix }) => prefix === mapped),
      routed,
      mapped,
    );
  }
  for (const endpoint of ['10.128.0.9:7470', '10.244.1.5:53', '10.96.0.10:53']) {
    const made = plan({
      tunnels: evil({
        remoteTunnelEndpoints: [{ name: '0', publicKey: keyOf('north'), addresses: [endpoint] }],
        remaps: [],
      }),
    });
    assert.is(
      made.device.peers.find(({ publicKey }) => publicKey === keyOf('north'))?.endpoint,
      undefined,
      endpoint,
    );
    assert.ok(
      made.host.routes.some(({ prefix }) => prefix === '10.128.0.0/16'),
      'the other’s range stays routed',
    );
  }
  for (const endpoint of [
    '127.0.0.1:7470',
    '0.0.0.0:1',
    '224.0.0.1:7470',
    '198.51.100.7:0',
    '198.51.100.7:70000',
    '[::1]:7470',
  ]) {
    const made = plan({
      tunnels: evil({
        remoteTunnelEndpoints: [{ name: '0', publicKey: keyOf('north'), addresses: [endpoint] }],
      }),
    });
    assert.not.ok(
      made.device.peers.some(({ publicKey }) => publicKey === keyOf('north')),
      endpoint,
    );
    assert.ok(made.device.peers.some(({ publicKey }) => publicKey === keyOf('east')));
  }
});

test('ranges of a tunnel without a key are routed into the device and dropped there', () => {
  const made = planNode(readInput(objects, gateway, new Map(), ({ addresses }) => addresses[0]));
  assert.equal([...made.remotePeers], []);
  assert.ok(
    made.host.routes.some(({ prefix }) => prefix === '10.128.0.0/16'),
    'not unencrypted by another way',
  );
  assert.not.ok(made.device.routes.some(({ prefix }) => prefix === '10.128.0.0/16'));
});

test('a tunnel endpoint with an unresolved name is a peer without an endpoint', () => {
  const tunnelEndpoints = [{ name: '0', publicKey: keyOf('east'), addresses: ['gateway.example:7470'] }];
  const peer = plan({
    tunnels: [tunnel('east', { remoteTunnelEndpoints: tunnelEndpoints })],
  }).device.peers.find(({ publicKey }) => publicKey === keyOf('east'));
  assert.ok(peer);
  assert.is(peer.endpoint, undefined);
});

test('a tunnel endpoint with several addresses is tried at each of them', () => {
  const choice = new EndpointChoice();
  const endpoints = ['192.0.2.1:7470', '192.0.2.2:7470'];
  const at = (seconds: number, established = false, list = endpoints) =>
    choice.pick('key', list, established, seconds * 1000);
  assert.is(at(0), endpoints[0]);
  assert.is(at(14), endpoints[0]);
  assert.is(at(15), endpoints[1]);
  assert.is(at(29), endpoints[1]);
  assert.is(at(30), endpoints[0]);
  assert.is(at(46), endpoints[1]);
  assert.is(at(50, true), endpoints[1]);
  assert.is(at(500, true), endpoints[1], 'what works stays');
  assert.is(at(514), endpoints[1]);
  assert.is(at(516), endpoints[0]);
  assert.is(at(517, false, ['192.0.2.3:7470']), '192.0.2.3:7470', 'one that is no longer declared is left');
  assert.is(at(999, false, ['192.0.2.3:7470']), '192.0.2.3:7470');
  assert.is(at(1000, false, []), undefined);
});

test('the MTU is the smaller one of the paths between clusters and between nodes', () => {
  assert.is(plan({}).host.mtu, 1420);
  assert.is(plan({ tunnels: [tunnel('east', { mtu: 1360 })] }).host.mtu, 1360);
  assert.is(plan({}, { ...gateway, underlayMTU: 1400 }).host.mtu, 1320);
  assert.is(
    plan({ tunnels: [tunnel('east', { mtu: 600 })] }).host.mtu,
    1280,
    'IPv6 needs 1280; the engine says packet-too-big',
  );
});

test('cached pods have only the fields that the fabric needs', () => {
  const whole = pod('a', 'n1', '10.244.1.5');
  const fat = { ...whole, metadata: { ...whole.metadata, annotations: { big: 'x'.repeat(10_000) } } };
  assert.ok(JSON.stringify(trimPod(fat)).length < 400);
  assert.equal(read({ pods: [trimPod(fat)] }).pods, read({ pods: [whole] }).pods);
});

test('only pods of the controller in Hawser’s namespace count as this cluster’s controller', () => {
  const as = (account: string, each: Pod): Pod => ({
    ...each,
    spec: { ...each.spec, containers: [], serviceAccountName: account },
  });
  const { controllers } = read({
    pods: [
      as('hawser-controller', pod('controller', 'n1', '10.244.1.9', { namespace: 'hawser-system' })),
      as('hawser-gateway', pod('gateway', 'n1', '10.244.1.10', { namespace: 'hawser-system' })),
      as('hawser-controller', pod('impostor', 'n1', '10.244.1.11')),
      as(
        'hawser-controller',
        pod('former', 'n1', '10.244.1.12', { namespace: 'hawser-system', phase: 'Failed' }),
      ),
    ].map(trimPod),
  });
  assert.equal(addressesOf(controllers), ['10.244.1.9']);
});

test('a revoked consumer has no access, whatever its Tunnel contains', () => {
  const west = tunnel('east', { consumer: false, dataPath: 'Open' });
  const letIn = incoming('east', 'hawser-tenant-east');
  const revoked: IncomingPeering = {
    ...letIn,
    spec: { ...letIn.spec, tokenName: 'one' },
    status: {
      ...letIn.status,
      revokedTokenName: 'one',
      conditions: [
        {
          type: 'Revoked',
          status: 'True',
          reason: 'R',
          message: '',
          lastTransitionTime: '2026-01-01T00:00:00Z',
        },
      ],
    },
  };
  const leaving = {
    ...letIn,
    metadata: { ...letIn.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
  };
  const again = { ...revoked, spec: { ...revoked.spec, tokenName: 'two' } };
  const cases: [what: string, peerings: IncomingPeering[], inside: boolean][] = [
    ['let in', [letIn], true],
    ['none', [], false],
    ['revoked', [revoked], false],
    ['being removed', [leaving], false],
    ['revoked, and let in by another token', [again], true],
    ['one of two removed', [leaving, { ...letIn, metadata: { name: 'east.second' } }], true],
  ];
  for (const [what, incomingPeerings, inside] of cases) {
    const input = read({
      tunnels: [west],
      incomingPeerings,
      twinNamespaces: [twin('hawser-tenant-east', 'shop-east', 'True')],
    });
    const [seen] = input.tunnels;
    assert.equal([seen?.provider, seen?.open, input.twins.size], [inside, inside, inside ? 1 : 0], what);
  }
});

test('pods are isolated by the labels of their namespaces, also those of a revoked consumer', () => {
  const namespace = (name: string, origin?: string) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, ...(origin !== undefined && { labels: { 'hawser.dev/origin': origin } }) },
  });
  const input = read(
    {
      tenantNamespaces: [
        namespace('shop-east', 'east'),
        namespace('odd', 'Not an ID'),
        namespace('empty', ''),
        namespace('bare'),
      ],
      tenantPods: [
        pod('shop', 'n2', '10.244.2.5', { namespace: 'shop-east' }),
        pod('over', 'n2', '10.244.2.6', { namespace: 'shop-east', phase: 'Failed' }),
      ],
      dnsPods: [
        pod('dns', 'n2', '10.244.2.9', { namespace: 'kube-system' }),
        pod('host', 'n2', '192.0.2.2', { namespace: 'kube-system', hostNetwork: true }),
      ],
    },
    { ...node, nameservers: ['10.96.0.10'] } as typeof node,
  );
  assert.equal([...input.tenants], [['shop-east', 'east']]);
  assert.equal(
    input.tenantPods.map(({ addresses }) => addressesOf(addresses)),
    [['10.244.2.5']],
  );
  assert.equal(addressesOf(input.resolvers), ['10.244.2.9', '10.96.0.10']);
  assert.equal(
    input.node.podCIDRs?.map(({ text }) => text),
    ['10.244.1.0/24'],
  );
});

test('unreadable objects are left out with a warning, and stop nothing else', () => {
  const remaps = [
    { real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'InUse' as const },
    { real: '10.245.0.0/16', mapped: '10.129.0.1/16', state: 'InUse' as const },
  ];
  const planned = plan({
    tunnels: [
      tunnel('east', { remaps, remotePodCIDRs: ['10.244.0.0/16', 'nonsense'] }),
      tunnel('north', { remoteExternalCIDR: '100.64.300.0/20' }),
    ],
    pods: [pod('odd', 'n1', '10.244.1.300'), pod('own', 'n1', '10.244.1.5')],
  });
  assert.equal(planned.warnings.slice(0, 3), [
    '"nonsense" in the Tunnel east is not an address range and is left out',
    '"10.129.0.1/16" in the Tunnel east is not an address range and is left out',
    '"100.64.300.0/20" in the Tunnel north is not an address range and is left out',
  ]);
  const prefixes = planned.device.routes.map(({ prefix }) => prefix);
  assert.ok(prefixes.includes('10.128.0.0/16') && prefixes.includes('10.244.1.5/32'));
  assert.not.ok(prefixes.some((prefix) => prefix.startsWith('10.129.')));
  assert.ok(planned.remotePeers.size > 0);
  assert.not.ok([...planned.remotePeers.values()].some(({ remoteCluster }) => remoteCluster === 'north'));
});

test.run();
