/** The ranges forbidden to a consumer's pods, and that the NetworkPolicies of twin namespaces agree with the nodes' rules. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isolationPolicies } from '../../../daemon/tenant/isolation.ts';
import type { Tunnel } from '../../../shared/api/network.ts';
import type { TwinNamespace } from '../../../shared/api/offloading.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';
import { forbiddenRanges } from '../../../shared/net/isolation.ts';
import { anyContains, parseRange, readHosts, readRanges } from '../../../shared/net/cidr.ts';

const test = suite('isolation');
const facts = {
  podCIDRs: ['10.244.0.0/16', 'fd00:1::/48'],
  serviceCIDRs: ['10.96.0.0/16'],
  nodeCIDRs: ['172.18.0.0/24'],
  externalCIDR: '100.64.16.0/20',
  apiServerAddresses: ['198.51.100.9', '2001:db8::9'],
};

/** The forbidden ranges of a cluster, from its own facts. */
const forbidden = forbiddenRanges({
  podCIDRs: readRanges(facts.podCIDRs),
  serviceCIDRs: readRanges(facts.serviceCIDRs),
  nodeCIDRs: readRanges(facts.nodeCIDRs),
  externalCIDR: parseRange(facts.externalCIDR),
  apiServerAddresses: readHosts(facts.apiServerAddresses),
});

/** The category of an address; undefined: it is not protected. */
const forbiddenAs = (address: string) => forbidden.find(({ ranges }) => anyContains(ranges, address))?.what;

test('each address has its category', () => {
  const cases: [address: string, what: string | undefined][] = [
    ['169.254.169.254', 'Metadata'],
    ['169.254.170.2', 'Metadata'],
    ['168.63.129.16', 'Metadata'],
    ['100.100.100.200', 'Metadata'],
    ['192.0.0.192', 'Metadata'],
    ['fd00:ec2::254', 'Metadata'],
    ['fd20:ce::254', 'Metadata'],
    ['fd00:c1::a9fe:a9fe', 'Metadata'],
    ['fd00:42::42', 'Metadata'],
    ['fe80::1', 'Metadata'],
    ['198.51.100.9', 'APIServer'],
    ['2001:db8::9', 'APIServer'],
    ['172.18.0.11', 'Node'],
    ['10.244.1.5', 'Cluster'],
    ['fd00:1::5', 'Cluster'],
    ['10.96.0.1', 'Cluster'],
    ['100.64.16.2', 'Cluster'],
    ['198.51.100.10', undefined],
    ['203.0.113.5', undefined],
    ['10.128.3.4', undefined],
    ['2001:db8::10', undefined],
  ];
  for (const [address, what] of cases) assert.is(forbiddenAs(address), what, address);
});

test('in a cluster without known ranges, metadata services are forbidden', () => {
  assert.equal(
    forbiddenRanges({ podCIDRs: [], serviceCIDRs: [], nodeCIDRs: [], apiServerAddresses: [] }).flatMap(
      ({ what, ranges }) => (ranges.length > 0 ? [what] : []),
    ),
    ['Metadata'],
  );
});

interface Block {
  ipBlock?: { cidr: string; except?: string[] };
}

test('the NetworkPolicies of a twin namespace exclude what the nodes’ rules refuse, and admit the same sources', () => {
  const policies = isolationPolicies(
    {
      metadata: { name: 'shop', uid: 'u' },
      spec: { namespace: 'shop-a', sourceNamespace: 'shop' },
    } as TwinNamespace,
    { metadata: { name: 'a' }, spec: { remoteCluster: 'a' } } as IncomingPeering,
    {
      local: { status: facts },
      tunnel: {
        spec: {
          remoteServiceCIDRs: ['10.200.0.0/16', '10.96.0.0/16', 'fd00:9::/112'],
          remaps: [
            { mapped: '10.128.0.0/16', state: 'InUse' },
            { mapped: '10.129.0.0/16', state: 'Draining' },
            // Since the remaps were chosen, later nodes got addresses in one, and the other overlaps the pods' range.
            { mapped: '172.18.0.0/16', state: 'InUse' },
            { mapped: '10.244.7.0/24', state: 'InUse' },
          ],
        },
      } as Tunnel,
    },
  );
  const rules = <T>(direction: string) =>
    policies.flatMap(({ spec }) => (spec?.[direction] as T[] | undefined) ?? []);
  const egress = rules<{ to: Block[] }>('egress');
  const ingress = rules<{ from: Block[] }>('ingress');
  const caches = egress.flatMap(({ to }) => to).filter(({ ipBlock }) => ipBlock?.cidr.endsWith('/0'));
  assert.equal(
    caches.flatMap(({ ipBlock }) => ipBlock?.except ?? []).toSorted(),
    [
      ...forbidden.flatMap(({ ranges }) => ranges).map(({ text }) => text),
      '10.200.0.0/16',
      'fd00:9::/112',
    ].toSorted(),
    'and Services at home, which no packet reaches',
  );
  for (const { ipBlock } of caches) {
    const family = ipBlock?.cidr === '::/0' ? 6 : 4;
    assert.ok(readRanges(ipBlock?.except ?? []).every((range) => range.family === family));
  }
  const blocks = (peers: Block[]) => peers.flatMap(({ ipBlock }) => ipBlock?.cidr ?? []);
  const home = ['10.128.0.0/16', '172.18.0.0/16'];
  const entering = ingress.flatMap(({ from }) => from);
  assert.equal(blocks(entering), home, 'what drains, or is this cluster’s, is not open');
  for (const peers of [entering, egress.flatMap(({ to }) => to)]) {
    const nodes = peers.find(({ ipBlock }) => ipBlock?.cidr === '172.18.0.0/16');
    assert.equal(nodes?.ipBlock?.except, ['172.18.0.0/24'], 'what is forbidden stays so inside of home');
  }
  assert.equal(blocks(egress.flatMap(({ to }) => to)).slice(0, 2), home);
});

test.run();
