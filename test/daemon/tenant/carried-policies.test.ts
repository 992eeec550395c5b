import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { carriedPolicy } from '../../../daemon/tenant/carried-policies.ts';
import { isolationPolicies } from '../../../daemon/tenant/isolation.ts';
import type { LocalCluster } from '../../../shared/api/clusters.ts';
import type { Tunnel } from '../../../shared/api/network.ts';
import type { TwinNamespace } from '../../../shared/api/offloading.ts';
import type { PolicyPeer, ShadowPolicy } from '../../../shared/api/policies.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';

const peering = {
  metadata: { name: 'elm' },
  spec: { remoteCluster: 'elm', peering: 'default' },
} as unknown as IncomingPeering;
const local = {
  status: { podCIDRs: ['10.244.0.0/16'], serviceCIDRs: ['10.96.0.0/16'], nodeCIDRs: ['192.0.2.0/24'] },
} as unknown as LocalCluster;
const tunnel = {
  spec: {
    remaps: [
      { real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'InUse' },
      { real: '100.65.0.0/20', mapped: '100.65.0.0/20', state: 'InUse' },
    ],
  },
} as unknown as Tunnel;

const shadow = (spec: Partial<ShadowPolicy['spec']>) =>
  ({
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'ShadowPolicy',
    metadata: { name: 'web', namespace: 'shop-elm', uid: 'u' },
    spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'], ...spec },
  }) as unknown as ShadowPolicy;
const made = (spec: Partial<ShadowPolicy['spec']>) => {
  const { policy, cut } = carriedPolicy(shadow(spec), peering, { local, tunnel });
  return { ...(policy.spec as { ingress: object[]; egress: object[]; podSelector: object }), policy, cut };
};
const block = (cidr: string, except?: string[]): PolicyPeer => ({
  block: { cidr, ...(except && { except }) },
});
const own = { matchLabels: { 'hawser.dev/origin': 'elm' } };
const dns = {
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
  podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
};

test('only the consumer’s own pods are selected, for any namespaces and labels', () => {
  const { ingress, policy } = made({
    ingress: [
      {
        peers: [
          {
            pods: {
              namespaces: ['shop', 'kube-system'],
              selector: { matchLabels: { 'example.com/tier': 'a', 'hawser.dev/origin': 'oak' } },
            },
          },
          { pods: { selector: {} } },
        ],
        ports: [
          { protocol: 'TCP', port: '8080' },
          { protocol: 'UDP', port: 'metrics' },
        ],
      },
    ],
  });
  assert.equal(ingress, [
    {
      from: [
        {
          namespaceSelector: {
            ...own,
            matchExpressions: [
              { key: 'hawser.dev/origin-namespace', operator: 'In', values: ['shop', 'kube-system'] },
            ],
          },
          podSelector: {
            matchLabels: {
              'label.hawser.dev/example.com_tier': 'a',
              'label.hawser.dev/hawser.dev_origin': 'oak',
            },
          },
        },
        { namespaceSelector: own, podSelector: {} },
      ],
      ports: [
        { protocol: 'TCP', port: 8080 },
        { protocol: 'UDP', port: 'metrics' },
      ],
    },
  ]);
  assert.is(policy.metadata.name, 'carried-web');
  assert.is(policy.metadata.ownerReferences?.[0]?.uid, 'u');
});

test('a range opens only addresses that the isolation leaves open', () => {
  const table: [what: string, peer: PolicyPeer, ingress: object | undefined, egress: object | undefined][] = [
    ['a pod at home', block('10.128.1.2/32'), { cidr: '10.128.1.2/32' }, { cidr: '10.128.1.2/32' }],
    [
      'a part of home, less a part of it',
      block('10.128.0.0/17', ['10.128.1.0/24', '10.0.0.0/24']),
      { cidr: '10.128.0.0/17', except: ['10.128.1.0/24'] },
      { cidr: '10.128.0.0/17', except: ['10.128.1.0/24'] },
    ],
    ['home, less all of it', block('10.128.1.0/24', ['10.128.0.0/16']), undefined, undefined],
    ['a pod of this cluster', block('10.244.1.2/32'), undefined, undefined],
    ['its Services', block('10.96.0.0/16'), undefined, undefined],
    ['a node', block('192.0.2.10/32'), undefined, undefined],
    ['the metadata service', block('169.254.169.254/32'), undefined, undefined],
    ['an outside address', block('203.0.113.7/32'), undefined, { cidr: '203.0.113.7/32' }],
    [
      'the world',
      block('0.0.0.0/0', ['203.0.113.0/24']),
      undefined,
      {
        cidr: '0.0.0.0/0',
        except: [
          '10.128.0.0/16',
          '10.244.0.0/16',
          '10.96.0.0/16',
          '100.100.100.200/32',
          '100.65.0.0/20',
          '168.63.129.16/32',
          '169.254.0.0/16',
          '192.0.0.192/32',
          '192.0.2.0/24',
          '203.0.113.0/24',
        ],
      },
    ],
    [
      'more than home',
      block('10.0.0.0/8'),
      undefined,
      { cidr: '10.0.0.0/8', except: ['10.128.0.0/16', '10.244.0.0/16', '10.96.0.0/16'] },
    ],
    ['an invalid range', block('10.128.0.1/16'), undefined, undefined],
    ['an exception that cannot be read', block('10.128.0.0/16', ['10.128.0.1/24']), undefined, undefined],
  ];
  for (const [what, peer, ingress, egress] of table) {
    const found = made({ ingress: [{ peers: [peer] }], egress: [{ peers: [peer] }] });
    assert.equal(found.ingress, ingress === undefined ? [] : [{ from: [{ ipBlock: ingress }] }], what);
    assert.equal(found.egress, egress === undefined ? [] : [{ to: [{ ipBlock: egress }] }], what);
    assert.is(found.cut, Number(ingress === undefined) + Number(egress === undefined), what);
  }
});

test('a rule without remaining peers is dropped, since a rule without peers admits everything', () => {
  assert.equal(made({ ingress: [{ peers: [] }] }).ingress, []);
  assert.equal(made({ ingress: [{ peers: [{}] }] }).ingress, []);
  assert.equal(made({ ingress: [{ peers: [{ pods: { namespaces: [], selector: {} } }] }] }).ingress, []);
  assert.equal(made({ policyTypes: ['Ingress'] }).ingress, []);
});

test('beyond the limit of peers per node the first ones are used', () => {
  const peers = Array.from({ length: 1024 }, (_, index) => block(`10.128.${index >> 8}.${index & 255}/32`));
  const { ingress, cut } = made({ ingress: Array.from({ length: 5 }, () => ({ peers })) });
  assert.is(ingress.length, 4);
  assert.is(cut, 1024);
});

test('a rule for all peers admits exactly what the isolation admits', () => {
  const { ingress, egress } = made({
    ingress: [{ ports: [{ protocol: 'TCP', port: '80', endPort: 90 }] }],
    egress: [{}],
  });
  const home = [{ ipBlock: { cidr: '10.128.0.0/16' } }, { ipBlock: { cidr: '100.65.0.0/20' } }];
  assert.equal(ingress, [
    {
      from: [{ namespaceSelector: own, podSelector: {} }, ...home],
      ports: [{ protocol: 'TCP', port: 80, endPort: 90 }],
    },
  ]);
  const [pods, ...others] = (egress[0] as { to: object[] }).to;
  assert.equal(pods, { namespaceSelector: own, podSelector: {} });
  assert.equal(others.slice(0, 2), home);
  assert.is(others.length, 4);
  assert.equal((egress[1] as { to: object[] }).to, [dns]);
});

test('the provider’s DNS replaces the consumer’s, on its own ports', () => {
  const rule = (ports?: NonNullable<ShadowPolicy['spec']['egress']>[number]['ports']) =>
    made({ egress: [{ peers: [{ dns: true }], ...(ports && { ports }) }] }).egress;
  const both = [
    { protocol: 'UDP', port: 53 },
    { protocol: 'TCP', port: 53 },
  ];
  assert.equal(rule(), [{ to: [dns], ports: both }]);
  assert.equal(rule([{ protocol: 'UDP', port: '53' }]), [{ to: [dns], ports: [both[0]] }]);
  assert.equal(rule([{ protocol: 'TCP', port: '1', endPort: 1000 }]), [{ to: [dns], ports: [both[1]] }]);
  assert.equal(rule([{ protocol: 'TCP', port: '9153' }]), []);
  assert.equal(made({ ingress: [{ peers: [{ dns: true }] }] }).ingress, []);
});

test('the isolation closes everything, except for pods that no policy selects', () => {
  const twin = {
    metadata: { name: 'shop', namespace: 'hawser-tenant-elm' },
    spec: { sourceNamespace: 'shop', sourceUID: 'u', namespace: 'shop-elm' },
  } as unknown as TwinNamespace;
  const [all, ...defaults] = isolationPolicies(twin, peering, { local, tunnel });
  assert.equal(all?.spec, { podSelector: {}, policyTypes: ['Ingress', 'Egress'] });
  assert.equal(
    defaults.map(({ spec }) => [spec?.['policyTypes'], spec?.['podSelector']]),
    (['Ingress', 'Egress'] as const).map((type) => [
      [type],
      {
        matchExpressions: [
          { key: `policy.hawser.dev/restricted-${type.toLowerCase()}`, operator: 'DoesNotExist' },
        ],
      },
    ]),
  );
});

test.run();
