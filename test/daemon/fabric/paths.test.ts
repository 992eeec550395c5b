import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { planNode } from '../../../daemon/fabric/plan/node-plan.ts';
import { parseHost } from '../../../shared/net/cidr.ts';
import { toMapped } from '../../../shared/net/address-mapping.ts';
import type { EngineModel, Fate } from './engine-model.ts';
import { keyOf, planUniverse, type PlannedCluster, type Universe, type UniverseCluster } from './universe.ts';

const range = ['10.244.0.0/16'];
const twoNodes = [{ name: 'n1' }, { name: 'n2', tunnelEndpoint: '0' }];

/** Two clusters with the same ranges: west offloads to east. */
const west: UniverseCluster = {
  id: 'west',
  podCIDRs: range,
  externalCIDR: '100.64.16.0/20',
  nodes: twoNodes,
  pods: [
    { name: 'a1', node: 'n1', addresses: ['10.244.1.5'] },
    { name: 'a2', node: 'n2', addresses: ['10.244.2.5'] },
  ],
};
const east: UniverseCluster = {
  id: 'east',
  podCIDRs: range,
  externalCIDR: '100.64.32.0/20',
  nodes: twoNodes,
  pods: [
    { name: 'b1', node: 'n1', addresses: ['10.244.1.5'], consumer: 'west' },
    { name: 'b2', node: 'n2', addresses: ['10.244.2.9'], consumer: 'west' },
    { name: 'c1', node: 'n1', addresses: ['10.244.1.77'] },
  ],
};
const oneWay: Universe = { clusters: [west, east], peerings: [{ consumer: 'west', provider: 'east' }] };

interface Place {
  cluster: string;
  node: string;
  address: string;
}

/** The address by which the cluster of `from` knows `to`. */
function named(clusters: Map<string, PlannedCluster>, from: Place, to: Place): string | undefined {
  if (from.cluster === to.cluster) return to.address;
  return toMapped(clusters.get(from.cluster)?.remaps.get(to.cluster) ?? [], to.address);
}

/** Sends one packet and its answer; returns the reason of the first loss. */
function thereAndBack(
  { clusters, model }: { clusters: Map<string, PlannedCluster>; model: EngineModel },
  from: Place,
  to: Place,
): string {
  const destination = named(clusters, from, to);
  if (destination === undefined) return 'no name';
  const there = model.fromTun(`${from.cluster}/${from.node}`, { source: from.address, destination });
  if (!there.delivered) return `there: ${there.reason} at ${there.at}`;
  assert.is(there.at, `${to.cluster}/${to.node}`);
  assert.is(there.packet.destination, to.address, 'the receiver is addressed by its own name');
  assert.is(
    there.packet.source,
    named(clusters, to, from),
    'the sender has the name that the receiver knows',
  );
  const back = model.fromTun(there.at, { source: to.address, destination: there.packet.source });
  if (!back.delivered) return `back: ${back.reason} at ${back.at}`;
  assert.is(back.at, `${from.cluster}/${from.node}`);
  assert.equal(back.packet, { source: destination, destination: from.address });
  return 'passes';
}

const place = (cluster: UniverseCluster, name: string): Place => {
  const pod = cluster.pods.find((each) => each.name === name);
  if (pod !== undefined) return { cluster: cluster.id, node: pod.node, address: pod.addresses[0] ?? '' };
  const index = cluster.nodes.findIndex((node) => node.name === name);
  return {
    cluster: cluster.id,
    node: name,
    address: cluster.externalCIDR.replace(/\.0\/20$/, `.${16 + index}`),
  };
};

test('the consumer’s pods and nodes reach its offloaded pods, from every node to every node', () => {
  const planned = planUniverse(oneWay);
  for (const from of ['a1', 'a2', 'n1', 'n2']) {
    for (const to of ['b1', 'b2']) {
      assert.is(thereAndBack(planned, place(west, from), place(east, to)), 'passes', `${from} → ${to}`);
      assert.is(thereAndBack(planned, place(east, to), place(west, from)), 'passes', `${to} → ${from}`);
    }
  }
});

test('other pods and addresses of either side cannot reach each other', () => {
  const planned = planUniverse(oneWay);
  const forbidden: [UniverseCluster, string, UniverseCluster, string][] = [
    [west, 'a1', east, 'c1'],
    [west, 'a2', east, 'c1'],
    [east, 'c1', west, 'a1'],
    [east, 'c1', west, 'n1'],
    [west, 'a1', east, 'n1'],
    [west, 'n1', east, 'n2'],
    [west, 'n1', east, 'c1'],
    [east, 'n1', west, 'a1'],
    [east, 'n2', west, 'a2'],
    [east, 'n1', west, 'n1'],
    [east, 'b1', west, 'nobody'],
  ];
  for (const [fromCluster, from, toCluster, to] of forbidden) {
    const result = thereAndBack(planned, place(fromCluster, from), place(toCluster, to));
    assert.match(result, /there: (notAdmitted|noRoute)/, `${fromCluster.id} ${from} → ${toCluster.id} ${to}`);
  }
});

test('a pod cannot send as another pod, nor a node as a pod of another node', () => {
  const { model, clusters } = planUniverse(oneWay);
  const destination = named(clusters, place(west, 'a1'), place(east, 'b1')) ?? '';
  const fates = [
    model.fromTun('west/n1', { source: '10.244.2.5', destination }),
    model.fromTun('west/n1', { source: '10.244.1.99', destination }),
    model.fromTun('west/n2', { source: '10.244.1.5', destination }),
    model.fromTun('west/n1', { source: '192.0.0.1', destination }),
    model.fromTun('west/n1', { source: '8.8.8.8', destination }),
    // A node of the compromised cluster sends to its gateway node directly.
    model.forge('west/n1', 'west/n2', { source: '10.244.2.5', destination }),
    model.forge('west/n1', 'west/n2', { source: '10.244.1.99', destination }),
    model.forge('west/n1', 'west/n2', { source: destination, destination: '10.244.2.5' }),
  ];
  for (const fate of fates) assert.is(reason(fate), 'sourceNotAllowed');
});

const reason = (fate: Fate) => (fate.delivered ? 'delivered' : fate.reason);

test('packets of a remote with forged addresses are dropped', () => {
  const { model } = planUniverse(oneWay);
  const forged: [string, string, string, string][] = [
    // As the provider's gateway node, to the consumer: only the offloaded pods' addresses are admitted.
    ['east/n2', 'west/n2', '10.244.1.77', '10.244.1.5'],
    ['east/n2', 'west/n2', '10.96.0.1', '10.244.1.5'],
    ['east/n2', 'west/n2', '8.8.8.8', '10.244.1.5'],
    ['east/n2', 'west/n2', '10.128.1.5', '10.244.1.5'],
    ['east/n2', 'west/n2', '100.64.32.16', '10.244.1.5'],
    // From an admitted source to destinations that the consumer may not reach.
    ['east/n2', 'west/n2', '10.244.1.5', '10.96.0.1'],
    ['east/n2', 'west/n2', '10.244.1.5', '192.0.0.1'],
    ['east/n2', 'west/n2', '10.244.1.5', '100.64.16.1'],
    // As the consumer's gateway node, to the provider.
    ['west/n2', 'east/n2', '10.244.1.5', '10.244.1.77'],
    ['west/n2', 'east/n2', '10.244.1.5', '192.0.1.1'],
    ['west/n2', 'east/n2', '10.244.1.5', '100.64.32.16'],
    ['west/n2', 'east/n2', '8.8.8.8', '10.244.1.5'],
    ['west/n2', 'east/n2', '127.0.0.1', '10.244.1.5'],
  ];
  for (const [from, to, source, destination] of forged) {
    assert.is(
      reason(model.forge(from, to, { source, destination })),
      'notAdmitted',
      `${source} → ${destination}`,
    );
  }
  // Admitted, but no pod has that address.
  assert.is(
    reason(model.forge('east/n2', 'west/n2', { source: '10.244.1.5', destination: '10.244.1.99' })),
    'noRoute',
  );
  // A stranger, or a node that is not a gateway node, is not a peer.
  assert.is(
    reason(model.forge('east/n1', 'west/n2', { source: '10.244.1.5', destination: '10.244.1.5' })),
    'unknownSession',
  );
});

test('probes pass between probe addresses and gateway nodes in both directions', () => {
  const { model, clusters } = planUniverse(oneWay);
  for (const [from, to] of [
    ['west', 'east'],
    ['east', 'west'],
  ] as const) {
    const target = clusters.get(from)?.plans.get('n2')?.probes.targets[0];
    assert.ok(target);
    const there = model.fromTun(`${from}/n2`, { source: target.source, destination: target.address });
    assert.ok(there.delivered && there.at === `${to}/n2`);
    assert.is(there.packet.source, target.expected);
    assert.is(there.packet.destination, clusters.get(to)?.plans.get('n2')?.probes.answerAt);
    const back = model.fromTun(there.at, {
      source: there.packet.destination,
      destination: there.packet.source,
    });
    assert.ok(back.delivered && back.at === `${from}/n2`);
  }
  assert.equal(clusters.get('west')?.plans.get('n1')?.probes.targets, []);
});

test('with peerings in both directions, pods of one cannot reach pods of the other', () => {
  const planned = planUniverse({
    clusters: [
      {
        ...west,
        pods: [...west.pods, { name: 'e1', node: 'n1', addresses: ['10.244.1.40'], consumer: 'east' }],
      },
      east,
    ],
    peerings: [
      { consumer: 'west', provider: 'east' },
      { consumer: 'east', provider: 'west' },
    ],
  });
  const both = { ...west, pods: [...west.pods, { name: 'e1', node: 'n1', addresses: ['10.244.1.40'] }] };
  assert.is(thereAndBack(planned, place(both, 'a1'), place(east, 'b1')), 'passes');
  assert.is(thereAndBack(planned, place(east, 'c1'), place(both, 'e1')), 'passes');
  assert.is(thereAndBack(planned, place(both, 'e1'), place(east, 'n1')), 'passes');
  assert.match(thereAndBack(planned, place(both, 'a1'), place(east, 'c1')), /notAdmitted/);
  assert.match(thereAndBack(planned, place(both, 'e1'), place(east, 'b1')), /notAdmitted/);
  assert.match(thereAndBack(planned, place(east, 'b1'), place(both, 'e1')), /notAdmitted/);
});

test('pods of one consumer do not reach another cluster', () => {
  const north = { ...west, id: 'north', externalCIDR: '100.64.48.0/20' };
  const planned = planUniverse({
    clusters: [
      west,
      east,
      { ...north, pods: [{ name: 'd1', node: 'n1', addresses: ['10.244.1.5'], consumer: 'east' }] },
    ],
    peerings: [
      { consumer: 'west', provider: 'east' },
      { consumer: 'east', provider: 'north' },
    ],
  });
  const northPlace = { cluster: 'north', node: 'n1', address: '10.244.1.5' };
  assert.is(thereAndBack(planned, place(east, 'c1'), northPlace), 'passes');
  assert.match(thereAndBack(planned, place(east, 'b1'), northPlace), /notAdmitted/);
  assert.match(thereAndBack(planned, northPlace, place(east, 'b1')), /notAdmitted/);
});

test('with an open data path the declared ranges reach each other, and nothing beyond them', () => {
  const planned = planUniverse({ ...oneWay, open: true });
  for (const [fromCluster, from, toCluster, to] of [
    [west, 'a1', east, 'c1'],
    [east, 'c1', west, 'a2'],
    [east, 'n1', west, 'a1'],
    [west, 'a1', east, 'b1'],
  ] as const) {
    assert.is(
      thereAndBack(planned, place(fromCluster, from), place(toCluster, to)),
      'passes',
      `${from} → ${to}`,
    );
  }
  const forged = planned.model.forge('west/n2', 'east/n2', {
    source: '10.244.1.5',
    destination: '10.96.0.1',
  });
  assert.is(reason(forged), 'notAdmitted');
});

test('IPv6 follows the same rules, in dual stack and alone', () => {
  const ranges = ['10.244.0.0/16', 'fd00:10:244::/56'];
  for (const podCIDRs of [ranges, ranges.slice(1)]) {
    const dual = (cluster: UniverseCluster): UniverseCluster => ({
      ...cluster,
      podCIDRs,
      pods: cluster.pods.map((pod) => ({
        ...pod,
        addresses: [
          ...pod.addresses,
          pod.addresses[0]?.replace(/^10\.244\.(\d+)\.(\d+)$/, 'fd00:10:244:$1::$2') ?? '',
        ],
      })),
    });
    const planned = planUniverse({ clusters: [dual(west), dual(east)], peerings: oneWay.peerings });
    const six = (cluster: UniverseCluster, name: string): Place => {
      const pod = dual(cluster).pods.find((each) => each.name === name);
      return { cluster: cluster.id, node: pod?.node ?? '', address: pod?.addresses[1] ?? '' };
    };
    for (const a of ['a1', 'a2']) {
      for (const b of ['b1', 'b2']) {
        assert.is(thereAndBack(planned, six(west, a), six(east, b)), 'passes');
        assert.is(thereAndBack(planned, six(east, b), six(west, a)), 'passes');
      }
      assert.match(thereAndBack(planned, six(west, a), six(east, 'c1')), /notAdmitted/);
    }
    const forged = planned.model.forge('east/n2', 'west/n2', {
      source: 'fd00:10:244:1::4d',
      destination: 'fd00:10:244:1::5',
    });
    assert.is(reason(forged), 'notAdmitted');
  }
});

test('with several tunnel endpoints on both sides a flow arrives and is answered through any of them', () => {
  const nodes = [{ name: 'n1' }, { name: 'n2', tunnelEndpoint: '0' }, { name: 'n3', tunnelEndpoint: '1' }];
  const planned = planUniverse({
    clusters: [
      { ...west, nodes, pods: [...west.pods, { name: 'a3', node: 'n3', addresses: ['10.244.3.5'] }] },
      {
        ...east,
        nodes,
        pods: [...east.pods, { name: 'b3', node: 'n3', addresses: ['10.244.3.9'], consumer: 'west' }],
      },
    ],
    peerings: oneWay.peerings,
  });
  const [westPods, eastPods] = [
    [...west.pods, { name: 'a3', node: 'n3', addresses: ['10.244.3.5'] }],
    [...east.pods.slice(0, 2), { name: 'b3', node: 'n3', addresses: ['10.244.3.9'] }],
  ];
  const ways = westPods.flatMap((a) => eastPods.map((b) => [a, b] as const));
  for (const pick of [(list: readonly string[]) => list[0], (list: readonly string[]) => list.at(-1)]) {
    planned.model.pick = pick;
    for (const [a, b] of ways) {
      const from = { cluster: 'west', node: a.node, address: a.addresses[0] ?? '' };
      const to = { cluster: 'east', node: b.node, address: b.addresses[0] ?? '' };
      assert.is(thereAndBack(planned, from, to), 'passes', `${a.name} → ${b.name}`);
      // The far side may choose the other gateway node for the answers.
      for (const gateway of ['n2', 'n3']) {
        for (const entry of ['n2', 'n3']) {
          const fate = planned.model.forge(`east/${gateway}`, `west/${entry}`, {
            source: to.address,
            destination: from.address,
          });
          assert.ok(fate.delivered && fate.at === `west/${a.node}`, `${gateway} → ${entry} → ${a.node}`);
          assert.ok(fate.hops.length <= 3);
        }
      }
    }
  }
});

test('with random ranges admitted packets arrive and are answered, and others are dropped', () => {
  let seed = 11;
  const random = (limit: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % limit;
  };
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const podRanges = ['10.244.0.0/16', '10.128.0.0/16', '10.0.0.0/16', '172.16.0.0/16'];
  const externalRanges = ['100.64.16.0/20', '100.64.32.0/20', '10.128.16.0/20', '10.129.0.0/20'];
  let passed = 0;
  for (let round = 0; round < 60; round++) {
    const clusters = ['c0', 'c1', 'c2'].map((id): UniverseCluster => {
      const externalCIDR = pick(externalRanges);
      const usable = podRanges.filter((each) => !externalCIDR.startsWith(each.slice(0, 7)));
      return {
        id,
        podCIDRs: [pick(usable)],
        externalCIDR,
        nodes: [{ name: 'n0', tunnelEndpoint: '0' }, { name: 'n1' }, { name: 'n2' }],
        pods: [],
      };
    });
    const peerings = clusters.flatMap(({ id: consumer }) =>
      clusters
        .filter(({ id: provider }) => provider !== consumer && random(2) === 0)
        .map(({ id: provider }) => ({ consumer, provider })),
    );
    for (const cluster of clusters) {
      for (let index = 0; index < 6; index++) {
        const consumers = peerings.filter(({ provider }) => provider === cluster.id);
        const consumer = random(2) === 0 && consumers.length > 0 ? pick(consumers).consumer : undefined;
        cluster.pods.push({
          name: `p${index}`,
          node: `n${random(3)}`,
          addresses: [cluster.podCIDRs[0]?.replace('0.0/16', `${random(250)}.${index + 1}`) ?? ''],
          ...(consumer !== undefined && { consumer }),
        });
      }
    }
    const planned = planUniverse({ clusters, peerings });
    for (const one of clusters) {
      for (const other of clusters) {
        if (one === other) continue;
        for (const p of one.pods) {
          for (const q of other.pods) {
            // A pod belongs to the cluster that it runs for; own pods and own offloaded pods may communicate.
            const admitted =
              (p.consumer === undefined && q.consumer === one.id) ||
              (q.consumer === undefined && p.consumer === other.id);
            const from = { cluster: one.id, node: p.node, address: p.addresses[0] ?? '' };
            const to = { cluster: other.id, node: q.node, address: q.addresses[0] ?? '' };
            const result = thereAndBack(planned, from, to);
            if (admitted) {
              assert.is(result, 'passes', JSON.stringify([round, one.id, p, other.id, q]));
              passed++;
            } else assert.match(result, /^there: |no name/, JSON.stringify([round, one.id, p, other.id, q]));
          }
        }
      }
    }
  }
  assert.ok(passed > 500, `${passed} ways passed`);
});

test('a plan for a large cluster takes little time', () => {
  const pods = Array.from({ length: 6000 }, (_, index) => ({
    name: `p${index}`,
    node: `n${index % 200}`,
    addresses: [`10.244.${index >> 7}.${1 + (index & 127)}`],
    ...(index % 10 === 0 && { consumer: 'west' }),
  }));
  const planned = planUniverse({
    clusters: [west, { ...east, nodes: [{ name: 'n0', tunnelEndpoint: '0' }], pods }],
    peerings: oneWay.peerings,
  });
  const input = planned.clusters.get('east')?.inputs.get('n0');
  assert.ok(input);
  const nodes = Array.from({ length: 199 }, (_, index) => ({
    name: `n${index + 1}`,
    publicKey: keyOf(`n${index + 1}`),
    endpoint: `192.0.2.${index + 1}:7470`,
    externalAddress: parseHost(`100.64.32.${index + 20}`),
  }));
  const begun = performance.now();
  const plan = planNode({ ...input, nodes });
  const milliseconds = performance.now() - begun;
  assert.ok(plan.device.routes.length > 6000, String(plan.device.routes.length));
  assert.ok(milliseconds < 2000, `${milliseconds} ms`);
  console.log(`  6,000 pods on 200 nodes planned in ${Math.round(milliseconds)} ms`);
});

test.run();
