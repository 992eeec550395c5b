import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  drainingMilliseconds,
  mappingFinding,
  mappingRevision,
  mappingRequests,
  planAddressMappings,
  usableMappings,
} from '../../../daemon/fabric/address-mappings.ts';
import type { Pod } from '../../../shared/kube/types.ts';
import type { FabricNode, AddressMapping } from '../../../shared/api/network.ts';
import type { NamespaceOffloading } from '../../../shared/api/offloading.ts';
import type { OutgoingPeering } from '../../../shared/api/peerings.ts';
import { toMapped } from '../../../shared/net/address-mapping.ts';
import { planUniverse, type PlannedCluster, type Universe, type UniverseCluster } from './universe.ts';

const externalCIDR = '100.64.16.0/20';
const now = Date.parse('2026-01-01T12:00:00Z');

const pod = (
  name: string,
  node: string,
  more: { namespace?: string; ip?: string; phase?: string } = {},
): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: more.namespace ?? 'shop',
    uid: `uid-${name}`,
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  spec: { containers: [], nodeName: node },
  status: { phase: more.phase ?? 'Running', podIPs: [{ ip: more.ip ?? '10.128.1.5' }, { ip: 'fd00::5' }] },
});
const peering = (name: string, remoteCluster: string) =>
  ({ metadata: { name }, spec: { remoteCluster, nodeName: `hawser-${name}` } }) as OutgoingPeering;
const offloading = (namespace: string, ...peerings: string[]) =>
  ({
    metadata: { name: 'offloading', namespace },
    status: { remotes: peerings.map((each) => ({ peering: each })) },
  }) as NamespaceOffloading;
const peerings = [
  peering('oak', 'oak'),
  peering('oak.gpu', 'oak'),
  peering('elm', 'elm'),
  peering('fir', 'fir'),
];

test('a pod needs a mapping only if its namespace is offloaded to other remotes too', () => {
  const everywhere = [offloading('shop', 'oak', 'elm', 'fir')];
  const cases: [string, Pod[], NamespaceOffloading[], [string, string, string[]][]][] = [
    ['for all others', [pod('p', 'hawser-oak')], everywhere, [['p', '10.128.1.5', ['elm', 'fir']]]],
    ['not for one remote alone', [pod('p', 'hawser-oak')], [offloading('shop', 'oak')], []],
    [
      'not for another node of the same remote',
      [pod('p', 'hawser-oak')],
      [offloading('shop', 'oak', 'oak.gpu')],
      [],
    ],
    [
      'whichever node of a remote it has',
      [pod('p', 'hawser-oak.gpu')],
      [offloading('shop', 'oak', 'elm', 'oak.gpu')],
      [['p', '10.128.1.5', ['elm']]],
    ],
    ['not in another namespace', [pod('p', 'hawser-oak', { namespace: 'other' })], everywhere, []],
    ['not at home', [pod('p', 'n1')], everywhere, []],
    ['not when it is over', [pod('p', 'hawser-oak', { phase: 'Succeeded' })], everywhere, []],
    ['not without an address', [pod('p', 'hawser-oak', { ip: '' })], everywhere, []],
    ['not for a peering that is gone', [pod('p', 'hawser-oak')], [offloading('shop', 'oak', 'ash')], []],
  ];
  for (const [what, pods, offloadings, expected] of cases) {
    const found = mappingRequests(4, pods, offloadings, peerings);
    assert.equal(
      found.map((each) => [each.pod.name, each.target, each.remoteClusters]),
      expected,
      what,
    );
  }
  assert.is(mappingRequests(6, [pod('p', 'hawser-oak')], everywhere, peerings)[0]?.target, 'fd00::5');
});

const request = (name: string, target: string, ...remoteClusters: string[]) => ({
  pod: { namespace: 'shop', name, uid: `uid-${name}` },
  target,
  remoteClusters,
});
const stored = (
  mappings: AddressMapping,
  more: Partial<AddressMapping['metadata']> = {},
): AddressMapping => ({
  ...mappings,
  metadata: { ...mappings.metadata, uid: `of ${mappings.metadata.name}`, generation: 1, ...more },
});
const plan = (
  requests: ReturnType<typeof request>[],
  present: AddressMapping[] = [],
  at = now,
  known = true,
) => planAddressMappings(externalCIDR, requests, present, known, at);

test('a mapping is created, follows its pod, drains, and is deleted', () => {
  const first = plan([request('p', '10.128.1.5', 'elm')]);
  assert.equal(
    first.create.map(({ metadata, spec }) => [metadata.name, spec.address, spec.target]),
    [['mapping-100-64-24-0', '100.64.24.0', '10.128.1.5']],
  );
  const there = first.create.map((each) => stored(each));
  const same = plan([request('p', '10.128.1.5', 'elm')], there);
  assert.equal([same.create, same.change, same.remove], [[], [], []]);
  // The real pod was recreated: the mapped address stays.
  const moved = plan([request('p', '10.128.9.9', 'elm')], there);
  assert.equal(
    moved.change.map(({ spec }) => [spec.address, spec.target]),
    [['100.64.24.0', '10.128.9.9']],
  );
  const gone = plan([request('q', '10.128.1.5', 'elm')], there);
  assert.is(gone.change[0]?.spec.drainingSince, '2026-01-01T12:00:00Z');
  assert.equal(gone.remove, []);
  assert.is(gone.againAfter, drainingMilliseconds);
  assert.is(gone.create[0]?.spec.address, '100.64.24.1', 'a draining address is not assigned again');
  const draining = gone.change;
  assert.equal(usableMappings(draining), []);
  assert.equal(plan([], draining, now + drainingMilliseconds - 1).remove, []);
  assert.is(plan([], draining, now + drainingMilliseconds).remove.length, 1);
  const back = plan([request('p', '10.128.1.5', 'elm')], draining, now + 1000);
  assert.is(back.change[0]?.spec.drainingSince, undefined);
  assert.is(plan([], there, now, false).remove.length, 1, 'after the last peering no remote uses it');
});

test('invalid mappings in the API are corrected', () => {
  const one = stored(plan([request('p', '10.128.1.5', 'elm')]).create[0] as AddressMapping);
  const other = stored(
    { ...one, spec: { ...one.spec, address: '100.64.24.7' } },
    { name: 'mapping-100-64-24-7' },
  );
  const twice = plan([request('p', '10.128.1.5', 'elm')], [one, other]);
  assert.equal(
    twice.change.map(({ metadata }) => metadata.name),
    ['mapping-100-64-24-7'],
  );
  const outside = stored({ ...one, spec: { ...one.spec, address: '100.64.16.16' } });
  const again = plan([request('p', '10.128.1.5', 'elm')], [outside]);
  assert.equal([again.remove.length, again.create[0]?.spec.address], [1, '100.64.24.0']);
  const leaving = stored(one, { deletionTimestamp: '2026-01-01T12:00:00Z' });
  assert.is(plan([request('q', '10.128.1.6', 'elm')], [leaving]).create[0]?.spec.address, '100.64.24.1');
});

test('with more pods than addresses the older pods keep theirs', () => {
  const requests = Array.from({ length: 2050 }, (_, index) =>
    request(`p${index}`, `10.128.${index >> 8}.${index & 255}`, 'elm'),
  );
  const made = plan(requests);
  assert.equal(
    [made.create.length, made.without.map((each) => each.pod.name)],
    [2047, ['p2047', 'p2048', 'p2049']],
  );
});

test('Programmed becomes True once the gateway node translates a mapping, and stays True while others change', () => {
  const mappings = stored(plan([request('p', '10.128.1.5', 'elm')]).create[0] as AddressMapping);
  const revision = mappingRevision(usableMappings([mappings]));
  const node = (mappingRevisionOfNode: string | undefined, heldTunnelEndpoint = '0') =>
    ({
      metadata: { name: 'n2' },
      spec: { tunnelEndpoint: '0' },
      status: {
        heldTunnelEndpoint,
        ...(mappingRevisionOfNode !== undefined && { mappingRevision: mappingRevisionOfNode }),
      },
    }) as FabricNode;
  const programmed: AddressMapping = {
    ...mappings,
    status: {
      conditions: [
        {
          type: 'Programmed',
          status: 'True',
          reason: 'Programmed',
          message: '',
          lastTransitionTime: '2026-01-01T00:00:00Z',
          observedGeneration: 1,
        },
      ],
    },
  };
  const changed = stored(programmed, { generation: 2 });
  const draining: AddressMapping = {
    ...programmed,
    spec: { ...mappings.spec, drainingSince: '2026-01-01T00:00:00Z' },
  };
  const cases: [string, AddressMapping, FabricNode[], string][] = [
    ['translated', mappings, [node(revision)], 'Programmed'],
    ['not yet', mappings, [node('older')], 'WaitingForGateway'],
    ['a node that does not report it', mappings, [node(undefined)], 'WaitingForGateway'],
    ['there is no gateway node', mappings, [], 'NoGateway'],
    ['a tunnel endpoint on the move', mappings, [node(revision, '1')], 'NoGateway'],
    ['another one came', programmed, [node('older')], 'Programmed'],
    ['it changed itself', changed, [node('older')], 'WaitingForGateway'],
    ['its pod is gone', draining, [node(revision)], 'Draining'],
  ];
  for (const [what, object, nodes, reason] of cases) {
    const found = mappingFinding(object, revision, nodes);
    assert.is(found.reason, reason, what);
    assert.is(found.status, reason === 'Programmed' ? 'True' : 'False', what);
  }
});

/** Three clusters with the same ranges, each a consumer of and a provider to the two others. */
const ids = ['amber', 'birch', 'cedar'] as const;
const clusters = ids.map((id, index): UniverseCluster => ({
  id,
  podCIDRs: ['10.244.0.0/16'],
  externalCIDR: `100.64.${16 * (index + 1)}.0/20`,
  nodes: [{ name: 'n1' }, { name: 'n2', tunnelEndpoint: '0' }],
  pods: [
    { name: 'own1', node: 'n1', addresses: ['10.244.1.5'] },
    { name: 'own2', node: 'n2', addresses: ['10.244.2.5'] },
    ...ids
      .filter((consumer) => consumer !== id)
      .flatMap((consumer, place) => [
        { name: `${consumer}1`, node: 'n1', addresses: [`10.244.1.${20 + place}`], consumer },
        { name: `${consumer}2`, node: 'n2', addresses: [`10.244.2.${20 + place}`], consumer },
      ]),
  ],
}));
const sixPeerings: Universe = {
  clusters,
  peerings: ids.flatMap((consumer) =>
    ids.filter((provider) => provider !== consumer).map((provider) => ({ consumer, provider })),
  ),
};

interface Place {
  cluster: string;
  node: string;
  address: string;
  consumer: string;
}
const placesOf = (all: readonly UniverseCluster[]) =>
  all.flatMap(({ id, pods }) =>
    pods.map(({ node, addresses, consumer }): Place => ({
      cluster: id,
      node,
      address: addresses[0] ?? '',
      consumer: consumer ?? id,
    })),
  );
const places = placesOf(clusters);

/** The address of one pod that another pod of the same owner gets in reflected endpoints. */
function nameFor(planned: Map<string, PlannedCluster>, reader: Place, named: Place): string | undefined {
  const owner = named.consumer;
  const home = planned.get(owner);
  // First in the owner's addresses.
  const known =
    named.cluster === owner ? named.address : toMapped(home?.remaps.get(named.cluster) ?? [], named.address);
  if (reader.cluster === owner || known === undefined) return known;
  if (reader.cluster === named.cluster) return named.address;
  const mappings =
    named.cluster === owner
      ? known
      : home?.mappings.find(
          ({ target, remoteClusters }) => target === known && remoteClusters.includes(reader.cluster),
        )?.address;
  return mappings === undefined
    ? undefined
    : toMapped(planned.get(reader.cluster)?.remaps.get(owner) ?? [], mappings);
}

/** Sends packets between all pods of a cluster that run at different places, with their answers. */
function walk(universe: Universe): { ways: number; throughHome: number } {
  const { clusters: planned, model } = planUniverse(universe);
  const all = placesOf(universe.clusters);
  let [ways, throughHome] = [0, 0];
  for (const from of all) {
    for (const to of all) {
      if (from.consumer !== to.consumer || from.cluster === to.cluster) continue;
      ways++;
      const what = JSON.stringify({ from, to });
      const destination = nameFor(planned, from, to);
      assert.ok(destination, what);
      const there = model.fromTun(`${from.cluster}/${from.node}`, {
        source: from.address,
        destination: destination ?? '',
      });
      assert.ok(there.delivered, `${what}: ${there.delivered ? '' : `${there.reason} at ${there.at}`}`);
      assert.is(there.at, `${to.cluster}/${to.node}`, what);
      assert.is(there.packet.destination, to.address, what);
      assert.is(
        there.packet.source,
        nameFor(planned, to, from),
        `the source is the name that the receiver knows: ${what}`,
      );
      const back = model.fromTun(there.at, { source: to.address, destination: there.packet.source });
      assert.ok(back.delivered, `${what}, back`);
      assert.equal(back.delivered && back.packet, { source: destination, destination: from.address }, what);
      if (from.cluster !== from.consumer && to.cluster !== to.consumer) {
        throughHome++;
        assert.ok(
          there.hops.some((hop) => hop.startsWith(`${from.consumer}/`)),
          what,
        );
      }
    }
  }
  return { ways, throughHome };
}

test('with six peerings every pod of a cluster reaches every other pod of it, wherever both run', () => {
  assert.is(walk(sixPeerings).throughHome, 3 * 2 * 2 * 2);
});

test('with arbitrary ranges and overlapping external CIDRs every pod still reaches every other', () => {
  let seed = 5;
  const pick = <T>(list: readonly T[]): T => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return list[(seed >>> 8) % list.length] as T;
  };
  let ways = 0;
  for (let round = 0; round < 40; round++) {
    ways += walk({
      ...sixPeerings,
      clusters: clusters.map((cluster) => {
        const range = pick(['10.244.0.0/16', '10.128.0.0/16', '10.9.0.0/16', '172.20.0.0/16']);
        const start = range.slice(0, -'.0.0/16'.length);
        return {
          ...cluster,
          podCIDRs: [range],
          externalCIDR: pick(['100.64.16.0/20', '100.64.32.0/20', '10.200.16.0/20']),
          pods: cluster.pods.map((each) => ({
            ...each,
            addresses: each.addresses.map((address) => address.replace('10.244', start)),
          })),
        };
      }),
    }).ways;
  }
  assert.is(ways, 40 * 72);
});

test('with six peerings pods of different clusters cannot reach each other by any address', () => {
  const { clusters: planned, model } = planUniverse(sixPeerings);
  let tried = 0;
  for (const from of places) {
    for (const to of places) {
      if (from.consumer === to.consumer || from.cluster === to.cluster) continue;
      const names = new Set([
        toMapped(planned.get(from.cluster)?.remaps.get(to.cluster) ?? [], to.address),
        // Every address that pods elsewhere know for it.
        ...places.map((reader) => nameFor(planned, reader, to)),
      ]);
      for (const destination of names) {
        if (destination === undefined) continue;
        tried++;
        const fate = model.fromTun(`${from.cluster}/${from.node}`, { source: from.address, destination });
        // Another cluster's address may be another pod's here; a packet to it is that pod's own traffic.
        const arrived =
          fate.delivered && fate.at === `${to.cluster}/${to.node}` && fate.packet.destination === to.address;
        assert.not(arrived, JSON.stringify({ from, to, destination }));
      }
    }
  }
  assert.ok(tried > 200, String(tried));
});

test('a mapped address is usable only by its allowed remotes, and fails closed', () => {
  const amber = planUniverse(sixPeerings).clusters.get('amber');
  const mappings = amber?.mappings ?? [];
  const atBirch = places.find(
    ({ cluster, consumer }) => cluster === 'birch' && consumer === 'amber',
  ) as Place;
  const atCedar = places.find(
    ({ cluster, consumer }) => cluster === 'cedar' && consumer === 'amber',
  ) as Place;
  const target = toMapped(amber?.remaps.get('birch') ?? [], atBirch.address);
  const mine = mappings.find((each) => each.target === target);
  assert.ok(mine);
  const fate = (changed: Partial<NonNullable<typeof mine>> | undefined, from = atCedar.address) => {
    const others = mappings.filter((each) => each !== mine);
    const list = changed === undefined || mine === undefined ? others : [...others, { ...mine, ...changed }];
    const { model } = planUniverse({ ...sixPeerings, mappings: new Map([['amber', list]]) });
    const result = model.forge('cedar/n2', 'amber/n2', { source: from, destination: mine?.address ?? '' });
    return result.delivered
      ? `${result.at} ${result.packet.destination}`
      : `${result.reason} at ${result.at}`;
  };
  const cases: [string, string, string][] = [
    ['as it should be', fate({}), `birch/${atBirch.node} ${atBirch.address}`],
    ['none is lent', fate(undefined), 'notAdmitted at amber/n2'],
    ['lent to another', fate({ remoteClusters: ['birch'] }), 'notAdmitted at amber/n2'],
    ['a target that is no pod there', fate({ target: '10.128.77.77' }), 'notAdmitted at amber/n2'],
    ['a target at home', fate({ target: '10.244.1.5' }), 'notAdmitted at amber/n2'],
    [
      'a target of that same remote',
      fate({ target: toMapped(amber?.remaps.get('cedar') ?? [], atCedar.address) ?? '' }),
      'notAdmitted at amber/n2',
    ],
    ['from a pod of cedar’s own', fate({}, '10.244.1.5'), 'notAdmitted at amber/n2'],
    ['from a pod of birch at cedar', fate({}, '10.244.1.21'), 'notAdmitted at amber/n2'],
  ];
  for (const [what, found, expected] of cases) assert.is(found, expected, what);
  // A node's address, or the probe address, cannot be assigned.
  const { model } = planUniverse({
    ...sixPeerings,
    mappings: new Map([
      ['amber', [...mappings, { address: '100.64.16.16', target: target ?? '', remoteClusters: ['cedar'] }]],
    ]),
  });
  const stolen = model.forge('cedar/n2', 'amber/n2', {
    source: atCedar.address,
    destination: '100.64.16.16',
  });
  assert.ok(stolen.delivered && stolen.at === 'amber/n1', 'the node keeps its own');
});

test('a provider whose consumers all have the same ranges serves each only its own pods', () => {
  const consumers = Array.from({ length: 12 }, (_, index): UniverseCluster => ({
    id: `c${index}`,
    podCIDRs: ['10.244.0.0/16'],
    externalCIDR: `100.${65 + index}.16.0/20`,
    nodes: [{ name: 'n1', tunnelEndpoint: '0' }, { name: 'n2' }],
    pods: [{ name: 'own', node: 'n2', addresses: ['10.244.2.5'] }],
  }));
  const provider: UniverseCluster = {
    id: 'provider',
    podCIDRs: ['10.244.0.0/16'],
    externalCIDR: '100.64.16.0/20',
    nodes: [{ name: 'n1', tunnelEndpoint: '0' }, { name: 'n2' }],
    pods: consumers.map(({ id }, index) => ({
      name: `for ${id}`,
      node: index % 2 === 0 ? 'n1' : 'n2',
      addresses: [`10.244.1.${index + 1}`],
      consumer: id,
    })),
  };
  const { clusters: planned, model } = planUniverse({
    clusters: [provider, ...consumers],
    peerings: consumers.map(({ id }) => ({ consumer: id, provider: 'provider' })),
  });
  const sources = new Set<string>();
  for (const { id } of consumers) {
    for (const [index, other] of consumers.entries()) {
      const address = `10.244.1.${index + 1}`;
      const destination = toMapped(planned.get(id)?.remaps.get('provider') ?? [], address) ?? '';
      const there = model.fromTun(`${id}/n2`, { source: '10.244.2.5', destination });
      assert.is(there.delivered, id === other.id, `${id} → pod of ${other.id}`);
      if (!there.delivered) continue;
      sources.add(there.packet.source);
      const back = model.fromTun(there.at, { source: address, destination: there.packet.source });
      assert.ok(back.delivered && back.at === `${id}/n2`, `back to ${id}`);
    }
  }
  assert.is(sources.size, consumers.length, 'the same address of each has a name of its own');
});

test.run();
