/** Which sources reach which API gateway and API server inside the tunnel, checked over the plans of complete clusters. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { toMapped } from '../../../shared/net/address-mapping.ts';
import { planUniverse, type Universe, type UniverseCluster } from './universe.ts';

const range = ['10.244.0.0/16'];
const twoNodes = [{ name: 'n1' }, { name: 'n2', tunnelEndpoint: '0' }];
const cluster = (id: string, third: number, more: Partial<UniverseCluster> = {}): UniverseCluster => ({
  id,
  podCIDRs: range,
  externalCIDR: `100.64.${third}.0/20`,
  nodes: twoNodes,
  pods: [
    { name: 'controller', node: 'n1', addresses: ['10.244.1.9'] },
    { name: 'a', node: 'n2', addresses: ['10.244.2.5'] },
  ],
  controllers: ['10.244.1.9'],
  ...more,
});
const west = cluster('west', 16);
const east = cluster('east', 32, {
  pods: [
    { name: 'controller', node: 'n1', addresses: ['10.244.1.9'] },
    { name: 'c', node: 'n2', addresses: ['10.244.2.5'] },
    { name: 'b', node: 'n1', addresses: ['10.244.1.5'], consumer: 'west' },
  ],
});
const north = cluster('north', 48);
const inBand: Universe = {
  clusters: [west, east, north],
  peerings: [
    { consumer: 'west', provider: 'east', inBand: true },
    { consumer: 'north', provider: 'east' },
  ],
};
const fixed = (of: UniverseCluster, last: number) => of.externalCIDR.replace(/\.0\/20$/, `.${last}`);

/** The fate of one packet from a node's pod to an address of another cluster, and of its answer. */
function fate(
  universe: Universe,
  from: [id: string, node: string, address: string],
  to: UniverseCluster,
  last: number,
) {
  const { clusters, model } = planUniverse(universe);
  const [id, node, source] = from;
  const destination = toMapped(clusters.get(id)?.remaps.get(to.id) ?? [], fixed(to, last));
  if (destination === undefined) return 'no name';
  const there = model.fromTun(`${id}/${node}`, { source, destination });
  if (!there.delivered) return `there: ${there.reason}`;
  if (there.at !== `${to.id}/n2`) return `there: at ${there.at}`;
  assert.is(there.packet.destination, fixed(to, last));
  const back = model.fromTun(there.at, {
    source: there.packet.destination,
    destination: there.packet.source,
  });
  return back.delivered && back.at === `${id}/${node}` && back.packet.destination === source
    ? 'passes'
    : 'lost on the way back';
}

test('an in-band consumer’s controller reaches API gateway and API server, and receives replies', () => {
  for (const last of [2, 3]) assert.is(fate(inBand, ['west', 'n1', '10.244.1.9'], east, last), 'passes');
});

test('other pods of an in-band consumer reach neither them nor other fixed addresses, and the provider reaches none of the consumer’s', () => {
  const refused: [from: [string, string, string], to: UniverseCluster, last: number][] = [
    [['west', 'n2', '10.244.2.5'], east, 2],
    [['west', 'n2', '10.244.2.5'], east, 3],
    [['west', 'n1', '100.64.16.16'], east, 3],
    [['west', 'n1', '10.244.1.9'], east, 1],
    [['west', 'n1', '10.244.1.9'], east, 4],
    [['west', 'n1', '10.244.1.9'], east, 16],
    [['west', 'n1', '10.244.1.9'], east, 17],
    [['east', 'n1', '10.244.1.9'], west, 2],
    [['east', 'n1', '10.244.1.9'], west, 3],
    [['east', 'n1', '10.244.1.5'], west, 3],
    [['east', 'n1', '100.64.32.16'], west, 3],
  ];
  for (const [from, to, last] of refused) {
    assert.match(
      fate(inBand, from, to, last),
      /^there: (notAdmitted|noRoute)$/,
      `${from.join(' ')} → .${last}`,
    );
  }
});

test('an out-of-band remote reaches no control plane, even with forged packets', () => {
  for (const last of [2, 3]) {
    assert.match(fate(inBand, ['north', 'n1', '10.244.1.9'], east, last), /^there: notAdmitted$/);
    const { model } = planUniverse(inBand);
    for (const source of ['10.244.1.9', '100.64.48.16', fixed(north, last)]) {
      const forged = model.forge('north/n2', 'east/n2', { source, destination: fixed(east, last) });
      assert.ok(!forged.delivered && forged.reason === 'notAdmitted', `${source} → .${last}`);
    }
    // From the admitted remote, all sources that are not its pods.
    for (const source of ['8.8.8.8', '100.64.16.16', fixed(west, last)]) {
      const forged = model.forge('west/n2', 'east/n2', { source, destination: fixed(east, last) });
      assert.ok(!forged.delivered && forged.reason === 'notAdmitted', `${source} → .${last}`);
    }
  }
});

test('an open data path does not open the control planes', () => {
  const open: Universe = { ...inBand, open: true };
  for (const last of [2, 3]) {
    assert.is(fate(open, ['west', 'n1', '10.244.1.9'], east, last), 'passes');
    assert.match(fate(open, ['west', 'n2', '10.244.2.5'], east, last), /^there: notAdmitted$/);
    assert.match(fate(open, ['north', 'n1', '10.244.1.9'], east, last), /^there: notAdmitted$/);
    assert.match(fate(open, ['east', 'n1', '10.244.1.9'], west, last), /^there: notAdmitted$/);
  }
});

test('with in-band in one direction only this direction is open', () => {
  const both: Universe = {
    clusters: [west, east],
    peerings: [
      { consumer: 'west', provider: 'east', inBand: true },
      { consumer: 'east', provider: 'west' },
    ],
  };
  for (const last of [2, 3]) {
    assert.is(fate(both, ['west', 'n1', '10.244.1.9'], east, last), 'passes');
    assert.match(fate(both, ['east', 'n1', '10.244.1.9'], west, last), /^there: notAdmitted$/);
  }
  const twice: Universe = { ...both, peerings: both.peerings.map((each) => ({ ...each, inBand: true })) };
  for (const last of [2, 3]) {
    assert.is(fate(twice, ['west', 'n1', '10.244.1.9'], east, last), 'passes');
    assert.is(fate(twice, ['east', 'n1', '10.244.1.9'], west, last), 'passes');
    assert.match(fate(twice, ['west', 'n2', '10.244.2.5'], east, last), /^there: notAdmitted$/);
  }
});

test('admission to a control plane admits to nothing else', () => {
  const { model } = planUniverse({
    clusters: [west, east],
    peerings: [
      { consumer: 'west', provider: 'east', inBand: true },
      { consumer: 'east', provider: 'west', inBand: true },
    ],
  });
  // To the other cluster's controller, and from a control plane's own address to a destination that did not ask.
  for (const [source, destination] of [
    ['10.244.2.5', '10.244.1.9'],
    ['10.244.1.9', '10.244.1.9'],
    [fixed(east, 3), '10.244.2.5'],
    [fixed(east, 3), fixed(west, 16)],
    [fixed(east, 3), fixed(west, 3)],
    [fixed(east, 2), fixed(west, 1)],
  ] as const) {
    const forged = model.forge('east/n2', 'west/n2', { source, destination });
    assert.ok(!forged.delivered && forged.reason === 'notAdmitted', `${source} → ${destination}`);
  }
});

test('the node with the tunnel endpoint has the two in-band addresses and ports only while a remote may reach them', () => {
  const planOf = (universe: Universe, id: string, node: string) =>
    planUniverse(universe).clusters.get(id)?.plans.get(node);
  const serving = planOf(inBand, 'east', 'n2');
  assert.equal(
    serving?.host.packets.services
      .map(({ address, protocol, port }) => `${address} ${protocol}/${port}`)
      .sort(),
    [`${fixed(east, 1)} udp/7471`, `${fixed(east, 2)} tcp/7443`, `${fixed(east, 3)} tcp/6443`],
  );
  assert.is(serving?.inBand?.gateway, fixed(east, 2));
  assert.is(serving?.inBand?.apiServer, fixed(east, 3));
  assert.equal(
    serving?.inBand?.consumers.map(({ remoteCluster }) => remoteCluster),
    ['west'],
    'the other one is none',
  );
  for (const [universe, id, node] of [
    [inBand, 'east', 'n1'],
    [inBand, 'west', 'n2'],
    [{ ...inBand, peerings: inBand.peerings.map((each) => ({ ...each, inBand: false })) }, 'east', 'n2'],
  ] as const) {
    const plan = planOf(universe, id, node);
    assert.is(plan?.inBand, undefined);
    assert.not.ok(
      plan?.host.addresses.some(({ prefix }) => /\.[23]\/32$/.test(prefix)),
      `${id}/${node}`,
    );
  }
});

test.run();
