/** The path of a packet, hop by hop: addresses, the place of a drop, and measurements. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { traceReport, type Measurement } from '../../cli/trace/measured.ts';
import { traceRoute, type TracedPod, type TraceFacts } from '../../cli/trace/route.ts';
import { traceText } from '../../cli/trace/text.ts';
import { plain } from './run-cli.ts';
import { apiVersion, type Condition } from '../../shared/api/meta.ts';
import type { FabricNode, NodeTrace, Tunnel } from '../../shared/api/network.ts';
import type { OutgoingPeering } from '../../shared/api/peerings.ts';
import { condition as conditionWith } from '../support/objects.ts';

const condition = (type: string, status: Condition['status'], message = 'as expected') =>
  conditionWith(type, status, { message });

const node = (name: string, tunnelEndpoint?: string): FabricNode => ({
  apiVersion,
  kind: 'FabricNode',
  metadata: { name },
  spec: tunnelEndpoint === undefined ? {} : { tunnelEndpoint },
  status: {
    conditions: [condition('Programmed', 'True')],
    ...(tunnelEndpoint !== undefined && { heldTunnelEndpoint: tunnelEndpoint }),
  },
});

const tunnel = (remoteCluster: string, mapped: string): Tunnel => ({
  apiVersion,
  kind: 'Tunnel',
  metadata: { name: remoteCluster },
  spec: {
    remoteCluster,
    consumer: true,
    provider: false,
    remotePodCIDRs: ['10.244.0.0/16'],
    remoteExternalCIDR: '100.64.16.0/20',
    remoteTunnelEndpoints: [],
    remaps: [{ real: '10.244.0.0/16', mapped, state: 'InUse' }],
    remoteRemaps: [
      { real: '10.244.0.0/16', mapped: '10.200.0.0/16' },
      { real: '100.64.0.0/20', mapped: '100.64.0.0/20' },
    ],
    mtu: 1420,
    presharedKeyRevision: '1',
  },
  status: {
    conditions: [condition('Established', 'True'), condition('PathVerified', 'True')],
    gatewayNode: 'g1',
    endpoint: '192.0.2.7:7470',
    roundTripMilliseconds: 3.25,
  },
});

const outgoing = (remoteCluster: string): OutgoingPeering => ({
  apiVersion,
  kind: 'OutgoingPeering',
  metadata: { name: remoteCluster },
  spec: { remoteCluster, peering: 'default', nodeName: `hawser-${remoteCluster}`, desired: 'Active' },
});

const pod = (name: string, where: string, address: string | undefined): TracedPod => ({
  name,
  node: where,
  address,
  phase: 'Running',
});
const here = pod('shop/web', 'n1', '10.244.1.5');
const away = pod('shop/db', 'hawser-oak', '10.128.2.6');
const elsewhere = pod('shop/cache', 'hawser-fir', '10.129.3.7');

function facts(from: TracedPod, to: TracedPod): TraceFacts {
  return {
    from,
    to,
    mappings: [],
    objects: {
      self: { apiVersion, kind: 'LocalCluster', metadata: { name: 'self' }, spec: {} },
      remotes: [],
      outgoing: [outgoing('oak'), outgoing('fir')],
      incoming: [],
      tunnels: [tunnel('oak', '10.128.0.0/16'), tunnel('fir', '10.129.0.0/16')],
      fabricNodes: [node('n1'), node('g1', '0')],
      offloadings: [],
    },
  };
}

const nothing: Measurement[] = [];
const trace = (answered: number, peers: NodeTrace['peers']): NodeTrace => ({
  id: 'x',
  at: '2026-01-01T00:00:00Z',
  address: '10.128.2.6',
  source: '100.64.0.17',
  sent: 4,
  answered,
  ...(answered > 0 && { roundTripMilliseconds: 5 }),
  peers,
});
const counts = (
  peer: string,
  sentPackets: number,
  receivedPackets: number,
  drops?: Record<string, number>,
) => ({
  peer,
  sentPackets,
  receivedPackets,
  ...(drops !== undefined && { drops }),
});

test('a trace to an offloaded pod shows each hop with the addresses at that hop', () => {
  const { hops, gateway, probes } = traceRoute(facts(here, away));
  assert.equal(
    hops.map(({ at, source, destination, terms, verdict }) => [at, source, destination, terms, verdict]),
    [
      ['pod shop/web', '10.244.1.5', '10.128.2.6', 'this cluster', 'Passes'],
      ['node n1', '10.244.1.5', '10.128.2.6', 'this cluster', 'Passes'],
      ['gateway node g1', '10.244.1.5', '10.128.2.6', 'this cluster', 'Passes'],
      [
        'translation and admission at g1',
        '10.244.1.5',
        '10.244.2.6',
        'the tunnel (real addresses)',
        'Passes',
      ],
      ['tunnel to oak', '10.244.1.5', '10.244.2.6', 'the tunnel (real addresses)', 'Passes'],
      ['tunnel endpoint of oak', '10.200.1.5', '10.244.2.6', 'oak', 'Passes'],
      ['pod shop/db at oak', '10.200.1.5', '10.244.2.6', 'oak', 'Unknown'],
    ],
  );
  assert.is(gateway, 'g1');
  const probe = { prober: 'n1', target: '10.128.2.6', remote: 'oak', repliesAt: 'pod shop/db at oak' };
  assert.equal(probes, [probe]);
  // In reverse the hops are the same; replies to the same probe take this direction.
  const back = traceRoute(facts(away, here));
  assert.equal(
    back.hops.map(({ at }) => at),
    hops.map(({ at }) => at).toReversed(),
  );
  assert.is(back.hops[0]?.source, '10.244.2.6');
  assert.equal(back.probes, [probe]);
});

test('a trace from a pod on the gateway node has one hop less', () => {
  const { hops } = traceRoute(facts({ ...here, node: 'g1' }, away));
  assert.equal(
    hops.slice(0, 3).map(({ at }) => at),
    ['pod shop/web', 'node g1', 'translation and admission at g1'],
  );
});

test('a trace stops at the hop that this cluster knows to drop the packet', () => {
  const cases: [string, (all: TraceFacts) => TraceFacts, string | undefined, RegExp][] = [
    [
      'not scheduled',
      (all) => ({ ...all, to: { ...away, node: '', address: undefined } }),
      'pod shop/db',
      /not scheduled/,
    ],
    [
      'no address',
      (all) => ({ ...all, from: { ...here, address: undefined } }),
      'pod shop/web',
      /no address yet/,
    ],
    [
      'the node is not programmed',
      (all) => ({
        ...all,
        objects: { ...all.objects, fabricNodes: [{ ...node('n1'), status: {} }, node('g1', '0')] },
      }),
      'node n1',
      /has not reported yet/,
    ],
    [
      'an address outside the remapped ranges',
      (all) => ({ ...all, to: { ...away, address: '10.9.9.9' } }),
      'translation and admission at g1',
      /outside the remapped ranges of oak: 10\.128\.0\.0\/16/,
    ],
    [
      'no session',
      (all) => {
        const down = tunnel('oak', '10.128.0.0/16');
        if (down.status)
          down.status.conditions = [condition('Established', 'False', 'no handshake with oak yet')];
        return { ...all, objects: { ...all.objects, tunnels: [down] } };
      },
      'tunnel to oak',
      /no handshake with oak yet/,
    ],
    [
      'no tunnel',
      (all) => ({ ...all, objects: { ...all.objects, tunnels: [] } }),
      'translation and admission at g1',
      /no tunnel to that cluster/,
    ],
  ];
  for (const [name, change, at, why] of cases) {
    const report = traceReport(traceRoute(change(facts(here, away))), nothing);
    assert.is(report.outcome, 'Stops', name);
    assert.is(report.stopsAt, at, name);
    assert.match(report.hops.find(({ verdict }) => verdict === 'Stops')?.why ?? '', why, name);
  }
});

test('measurements add replies and packet counts to the hops', () => {
  const route = traceRoute(facts(here, away));
  const measurement = {
    prober: trace(4, [counts('g1', 4, 4)]),
    gateway: trace(0, [counts('n1', 4, 4), counts('oak', 5, 4)]),
  };
  const report = traceReport(route, [measurement]);
  assert.is(report.outcome, 'Arrives');
  assert.is(report.stopsAt, undefined);
  const text = traceText(report, plain);
  assert.match(text, '4 packets sent and 4 received to and from g1 while 4 probes were sent');
  assert.match(text, '5 packets sent and 4 received to and from oak while 4 probes were sent');
  assert.match(text, 'answered 4 of 4 probes, in 5.0 ms');
  assert.match(text, 'path probe answered in 3.3 ms');
  assert.match(text, 'The packet arrives, and the reply comes back.');
  assert.match(text, 'UDP probes from node n1 (100.64.0.17) to a closed port of 10.128.2.6');
  const back = traceReport(traceRoute(facts(away, here)), [measurement]);
  assert.is(back.outcome, 'Arrives');
  assert.match(back.hops[0]?.measured ?? '', 'answered 4 of 4 probes');
  assert.match(back.hops.at(-2)?.measured ?? '', 'to and from g1');
});

test('without replies, packet counts show the hop that drops the packet', () => {
  const route = traceRoute(facts(here, away));
  const prober = trace(0, [counts('g1', 4, 0)]);
  const stopsAt = (gateway: NodeTrace) => traceReport(route, [{ prober, gateway }]).stopsAt;
  assert.is(stopsAt(trace(0, [counts('oak', 4, 0)])), 'pod shop/db at oak');
  assert.is(stopsAt(trace(0, [counts('oak', 0, 0, { notAdmitted: 4 })])), 'translation and admission at g1');
  assert.is(stopsAt(trace(0, [])), 'translation and admission at g1');
});

test('a foreign rule on the node makes the outcome doubtful although probes arrive', () => {
  const all = facts(here, away);
  const [first, second] = all.objects.fabricNodes;
  if (first?.status) first.status.hostProblems = [{ reason: 'ForeignDrop', message: 'a rule drops' }];
  assert.ok(second);
  const report = traceReport(traceRoute(all), [{ prober: trace(4, []), gateway: trace(0, []) }]);
  assert.is(report.outcome, 'Doubtful');
  assert.is(report.hops[1]?.verdict, 'Unknown');
});

test('without measurements the outcome is unknown, and the report says so', () => {
  const silent = traceReport(traceRoute(facts(here, away)), nothing);
  assert.is(silent.outcome, 'Unknown');
  assert.match(silent.how, 'Nothing was measured: node n1 did not answer');
  const neither = traceReport(traceRoute(facts(away, { ...away, name: 'shop/other' })), nothing);
  assert.match(neither.how, 'no node of this cluster is on the path');
});

test('traces between local pods, pods at one provider, and pods at two providers', () => {
  assert.match(
    traceRoute(facts(here, { ...here, name: 'shop/other', node: 'g1' })).hops[0]?.why ?? '',
    'only the CNI',
  );
  assert.match(
    traceRoute(facts(away, { ...away, name: 'shop/other' })).hops[0]?.why ?? '',
    'both pods run at oak',
  );
  const relayed = facts(away, elsewhere);
  assert.is(traceReport(traceRoute(relayed), nothing).stopsAt, 'gateway node g1');
  const lend = (address: string, target: string) => ({
    apiVersion,
    kind: 'AddressMapping',
    metadata: { name: address },
    spec: { address, target, remoteClusters: [], pod: { namespace: 'shop', name: 'x', uid: 'u' } },
  });
  const route = traceRoute({
    ...relayed,
    mappings: [lend('100.64.4.1', '10.128.2.6'), lend('100.64.4.2', '10.129.3.7')],
  });
  const { hops } = route;
  assert.equal(
    hops.map(({ source, destination, terms }) => `${source} ${destination} ${terms}`),
    [
      '10.244.2.6 100.64.4.2 oak',
      '10.244.2.6 100.64.4.2 oak',
      '100.64.4.1 10.129.3.7 this cluster',
      '100.64.4.1 10.244.3.7 fir',
      '100.64.4.1 10.244.3.7 fir',
    ],
  );
  // The gateway node probes both.
  const answered = (remote: string, sent: number, received: number) => ({
    prober: trace(Math.min(4, received), [counts(remote, sent, received)]),
    gateway: undefined,
  });
  const measured = traceReport(route, [answered('oak', 4, 4), answered('fir', 5, 4)]);
  assert.equal(
    measured.hops.map(
      (hop) => /^answered \d of \d probes|[45] packets.*from \w+/.exec(hop.measured ?? '')?.[0],
    ),
    [
      'answered 4 of 4 probes',
      '4 packets sent and 4 received to and from oak',
      undefined,
      '5 packets sent and 4 received to and from fir',
      'answered 4 of 4 probes',
    ],
  );
  assert.is(measured.outcome, 'Arrives');
  const lost = traceReport(route, [answered('oak', 4, 4), answered('fir', 4, 0)]);
  assert.is(lost.stopsAt, 'pod shop/cache at fir');
  const refused = traceReport(route, [answered('oak', 4, 4), answered('fir', 0, 0)]);
  assert.is(refused.stopsAt, 'tunnel to fir');
});

test.run();
