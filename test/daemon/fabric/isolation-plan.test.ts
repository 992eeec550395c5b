import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { planIsolation as planWith } from '../../../daemon/fabric/plan/isolation-plan.ts';
import type { PlanInput, InputPod, InputTunnel } from '../../../daemon/fabric/plan/input.ts';
import { parseRange, readHosts, readRanges } from '../../../shared/net/cidr.ts';

const test = suite('isolation plan');

const pod = (namespace: string, node: string, ...addresses: string[]): InputPod => ({
  namespace,
  name: `${namespace}-${addresses.join('-')}`,
  node,
  addresses: readHosts(addresses),
});

/** A node with its own range, in a cluster where `twin-a` and `twin-a2` belong to consumer a, and `twin-b` to b. */
function input(pods: InputPod[], changes: Partial<PlanInput> = {}): PlanInput {
  return {
    node: { name: 'n1', underlayMTU: 1500, podCIDRs: readRanges(['10.244.1.0/24', 'fd00:1:1::/64']) },
    cluster: {
      podCIDRs: readRanges(['10.244.0.0/16', 'fd00:1::/48']),
      serviceCIDRs: readRanges(['10.96.0.0/16']),
      nodeCIDRs: readRanges(['172.18.0.0/24']),
      externalCIDR: parseRange('100.64.16.0/20'),
      apiServerAddresses: readHosts(['198.51.100.9']),
    },
    nodes: [],
    tunnels: [],
    pods,
    controllers: [],
    twins: new Map(),
    tenants: new Map([
      ['twin-a', 'a'],
      ['twin-a2', 'a'],
      ['twin-b', 'b'],
    ]),
    tenantPods: [],
    resolvers: [],
    virtualNodes: new Map(),
    addressMappings: [],
    mappingRevision: '',
    unreadable: [],
    ...changes,
  };
}

const planIsolation = (planned: PlanInput) => planWith(planned, []);

const summary = (planned: ReturnType<typeof planIsolation>) =>
  planned?.tenants.map(({ remoteCluster, here, pods }) => ({ remoteCluster, here, pods }));

test('without a twin namespace there is no isolation plan; with one there is, even before its first pod', () => {
  const pods = [pod('own', 'n1', '10.244.1.5'), pod('twin-a', 'n2', '10.244.2.5')];
  assert.is(planIsolation(input(pods, { tenants: new Map() })), undefined);
  const planned = planIsolation(input(pods, { tenantPods: pods.slice(1) }));
  assert.equal(planned?.tenants, []);
  assert.equal(planned?.unknown, { ranges: ['10.244.1.0/24', 'fd00:1:1::/64'], known: ['10.244.1.5'] });
  // Without a pod range no address counts as unknown, so nothing is planned before the first pod.
  const node = { name: 'n1', underlayMTU: 1500 };
  assert.is(planIsolation(input(pods, { node })), undefined);
});

test('each consumer’s pods on this node and in the cluster are listed', () => {
  const elsewhere = pod('twin-a2', 'n2', '10.244.2.6');
  const here = [
    pod('own', 'n1', '10.244.1.2'),
    pod('twin-a', 'n1', '10.244.1.5', 'fd00:1:1::5'),
    pod('twin-b', 'n1', '10.244.1.7'),
  ];
  // A gateway node knows the pods of all nodes; every node knows those of consumers.
  for (const pods of [here, [...here, elsewhere, pod('own', 'n2', '10.244.2.2')]]) {
    const tenantPods = [...here.slice(1), elsewhere, pod('twin-b', 'n3', '10.244.3.7')];
    const planned = planIsolation(input(pods, { tenantPods }));
    assert.equal(summary(planned), [
      {
        remoteCluster: 'a',
        here: ['10.244.1.5', 'fd00:1:1::5'],
        pods: ['10.244.1.5', 'fd00:1:1::5', '10.244.2.6'],
      },
      { remoteCluster: 'b', here: ['10.244.1.7'], pods: ['10.244.1.7', '10.244.3.7'] },
    ]);
    assert.equal(planned?.unknown, {
      ranges: ['10.244.1.0/24', 'fd00:1:1::/64'],
      known: ['10.244.1.2', '10.244.1.5', 'fd00:1:1::5', '10.244.1.7'],
    });
  }
});

test('a pod without an address makes unknown addresses isolated', () => {
  const planned = planIsolation(input([pod('own', 'n1', '10.244.1.2'), pod('twin-a', 'n1')]));
  assert.equal(summary(planned), [{ remoteCluster: 'a', here: [], pods: [] }]);
  assert.equal(planned?.unknown?.known, ['10.244.1.2']);
});

test('an address that two pods claim belongs to the newer pod, and to none if two consumers claim it', () => {
  const claims = [pod('twin-a', 'n1', '10.244.1.5'), pod('twin-b', 'n1', '10.244.1.5')];
  assert.equal(summary(planIsolation(input(claims))), [
    { remoteCluster: 'a', here: [], pods: [] },
    { remoteCluster: 'b', here: ['10.244.1.5'], pods: ['10.244.1.5'] },
  ]);
  const own = planIsolation(input([...claims, pod('own', 'n1', '10.244.1.5')]));
  assert.ok(own?.tenants.every(({ here }) => here.length === 0));
  assert.equal(own?.unknown?.known, ['10.244.1.5']);
});

test('where pods have addresses outside their node’s range, no address counts as unknown', () => {
  const cases: [what: string, podCIDRs: string[], addresses: string[], ranges: string[] | undefined][] = [
    ['the node has none', [], ['10.244.1.5'], undefined],
    ['addresses of elsewhere', ['10.244.1.0/24'], ['10.200.0.5'], undefined],
    ['one of them', ['10.244.1.0/24'], ['10.244.1.5', '10.200.0.5'], undefined],
    ['of one family', ['10.244.1.0/24', 'fd00:9::/64'], ['10.244.1.5', 'fd00:1:1::5'], ['10.244.1.0/24']],
    ['none is known yet', ['10.244.1.0/24'], [], ['10.244.1.0/24']],
  ];
  for (const [what, podCIDRs, addresses, ranges] of cases) {
    const node = { name: 'n1', underlayMTU: 1500, podCIDRs: readRanges(podCIDRs) };
    const planned = planIsolation(input([pod('twin-a', 'n1', ...addresses)], { node }));
    assert.equal(planned?.unknown?.ranges, ranges, what);
  }
});

test('Services at home are those that its tunnel declares', () => {
  const tunnel = (remoteCluster: string, remoteServiceCIDRs: string[] = []) =>
    ({
      remoteCluster,
      remaps: [],
      remoteServiceCIDRs: remoteServiceCIDRs.map((each) => parseRange(each)),
    }) as never as InputTunnel;
  const pods = [pod('twin-a', 'n1', '10.244.1.5'), pod('twin-b', 'n1', '10.244.1.7')];
  const tunnels = [tunnel('a', ['10.200.0.0/16', 'fd00:9::/112']), tunnel('b')];
  assert.equal(
    planIsolation(input(pods, { tunnels }))?.tenants.map(({ services }) => services),
    [['10.200.0.0/16', 'fd00:9::/112'], []],
  );
});

test('a consumer’s pod may reach its home ranges that are routed, and no range of this cluster', () => {
  const tunnel = (remoteCluster: string, ...remaps: [mapped: string, state: string][]) =>
    ({
      remoteCluster,
      remaps: remaps.map(([mapped, state]) => ({ mapped: parseRange(mapped), state })),
    }) as never as InputTunnel;
  const ofA = tunnel(
    'a',
    ['10.128.0.0/16', 'InUse'],
    ['10.130.0.0/16', 'Draining'],
    ['10.131.0.0/16', 'InUse'],
    // Later nodes were created in it.
    ['172.18.0.0/23', 'InUse'],
  );
  const ofB = tunnel('b', ['10.129.0.0/16', 'InUse']);
  const planned = planWith(
    input([pod('twin-a', 'n1', '10.244.1.5')], {
      tunnels: [ofA, ofB],
      resolvers: readHosts(['10.244.1.9', '169.254.20.10']),
    }),
    [
      { tunnel: ofA, mapped: readRanges(['10.128.0.0/16', '10.130.0.0/16', '172.18.0.0/23']) },
      { tunnel: ofB, mapped: readRanges(['10.129.0.0/16']) },
    ],
  );
  assert.equal(planned?.tenants[0]?.home, ['10.128.0.0/16', '172.18.1.0/24']);
  assert.equal(planned?.resolvers, ['10.244.1.9', '169.254.20.10']);
  const forbidden = new Map(planned?.forbidden.map(({ what, ranges }) => [what, ranges]));
  assert.ok(forbidden.get('Metadata')?.includes('169.254.0.0/16'));
  assert.equal(forbidden.get('APIServer'), ['198.51.100.9/32']);
  assert.equal(forbidden.get('Node'), ['172.18.0.0/24']);
  assert.equal(forbidden.get('Cluster'), ['10.244.0.0/16', 'fd00:1::/48', '10.96.0.0/16', '100.64.16.0/20']);
});

test.run();
