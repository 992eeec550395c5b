import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { translatorFor } from '../../../daemon/reflect/addresses.ts';
import { shadowPolicy, type PolicyView } from '../../../daemon/reflect/policies.ts';
import { blocksThere, rangesInView } from '../../../daemon/reflect/policy-blocks.ts';
import type { Namespace, NetworkPolicy, Pod } from '../../../daemon/kube/index.ts';
import type { AddressMapping, Tunnel } from '../../../shared/api/network.ts';
import { mostPeers } from '../../../shared/api/policies.ts';
import { toReal } from '../../../shared/net/address-mapping.ts';

/**
 * At home 10.244.0.0/16 is this cluster's range, which the provider knows as 10.200; the provider's same range is 10.128 here.
 */
const tunnel = {
  spec: {
    remoteCluster: 'oak',
    remotePodCIDRs: ['10.244.0.0/16'],
    remaps: [
      { real: '10.244.0.0/16', mapped: '10.128.0.0/16', state: 'InUse' },
      { real: '100.66.0.0/20', mapped: '100.66.0.0/20', state: 'InUse' },
    ],
    remoteRemaps: [
      { real: '10.244.0.0/16', mapped: '10.200.0.0/16' },
      { real: '100.65.0.0/20', mapped: '100.65.0.0/20' },
    ],
  },
} as unknown as Tunnel;
const other = {
  spec: {
    remoteCluster: 'fir',
    remotePodCIDRs: ['10.244.0.0/16'],
    remaps: [{ real: '10.244.0.0/16', mapped: '10.129.0.0/16', state: 'InUse' }],
    remoteRemaps: [],
  },
} as unknown as Tunnel;
const mappings = [
  {
    metadata: { name: 'l' },
    spec: { target: '10.129.1.5', address: '100.65.9.9', remoteClusters: ['oak'], pod: {} },
    status: { conditions: [{ type: 'Programmed', status: 'True' }] },
  },
] as unknown as AddressMapping[];
const ranges = rangesInView(tunnel, [other], {
  serviceCIDRs: ['10.96.0.0/16'],
  nodeCIDRs: ['192.0.2.0/24'],
});

const pod = (namespace: string, app: string, ip: string, more: Partial<Pod> = {}): Pod =>
  ({
    metadata: { name: app, namespace, labels: { app } },
    spec: {
      containers: [{ name: 'm', ports: [{ name: 'http', containerPort: app === 'odd' ? 9090 : 8080 }] }],
    },
    status: { phase: 'Running', podIPs: [{ ip }] },
    ...more,
  }) as unknown as Pod;
const namespace = (name: string, labels: Record<string, string> = {}): Namespace =>
  ({
    metadata: { name, labels: { 'kubernetes.io/metadata.name': name, ...labels } },
  }) as unknown as Namespace;

const view = (pods: readonly Pod[]): PolicyView => ({
  namespaces: [namespace('shop'), namespace('ops', { team: 'ops' }), namespace('kube-system')],
  pods,
  offloaded: ['shop'],
  isThere: (address) => toReal(tunnel.spec.remaps, address) !== undefined,
  translate: translatorFor(tunnel, [other], mappings),
  ranges,
});
const pods = [
  pod('shop', 'client', '10.244.1.2'),
  pod('shop', 'there', '10.128.1.3'),
  pod('shop', 'third', '10.129.1.5'),
  pod('shop', 'unmapped', '10.129.1.6'),
  pod('ops', 'odd', '10.244.1.7'),
  pod('ops', 'node', '10.244.1.8', { spec: { containers: [], hostNetwork: true } }),
  pod('ops', 'over', '10.244.1.9', { status: { phase: 'Succeeded', podIPs: [{ ip: '10.244.1.9' }] } }),
];
const carried = (spec: object, of: readonly Pod[] = pods) =>
  shadowPolicy(
    { metadata: { name: 'p', namespace: 'shop' }, spec } as unknown as NetworkPolicy,
    { namespace: 'shop-elm', consumer: 'elm', source: 'shop' },
    view(of),
  );
const block = (cidr: string, except?: string[]) => ({ block: { cidr, ...(except && { except }) } });

test('a selected peer becomes labels at the provider, and addresses elsewhere', () => {
  const record = carried({
    podSelector: { matchLabels: { app: 'web' } },
    policyTypes: ['Ingress'],
    ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 'http' }] }],
  });
  assert.equal(record.metadata.labels?.['hawser.dev/reflected'], 'true');
  assert.equal(record.spec, {
    podSelector: { matchLabels: { app: 'web' } },
    policyTypes: ['Ingress'],
    ingress: [
      {
        peers: [
          block('10.200.1.2/32'),
          block('100.65.9.9/32'),
          { pods: { namespaces: ['shop'], selector: {} } },
        ],
        ports: [{ protocol: 'TCP', port: 'http' }],
      },
    ],
  });
});

test('namespace selectors are resolved here, to namespaces with a twin namespace', () => {
  const record = carried({
    podSelector: {},
    policyTypes: ['Ingress'],
    ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'ops' } }, podSelector: {} }] }],
  });
  assert.equal(record.spec.ingress, [{ peers: [block('10.200.1.7/32')] }]);
  const none = carried({
    podSelector: {},
    policyTypes: ['Ingress'],
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'nobody' } } }] }],
  });
  assert.equal(none.spec.ingress, [
    { peers: [{ pods: { namespaces: ['shop'], selector: { matchLabels: { app: 'nobody' } } } }] },
  ]);
});

test('named ports of pods elsewhere become numbers', () => {
  const record = carried({
    podSelector: {},
    policyTypes: ['Egress'],
    egress: [
      { to: [{ namespaceSelector: {}, podSelector: {} }], ports: [{ port: 'http', protocol: 'TCP' }] },
    ],
  });
  const [named, ...numbered] = record.spec.egress ?? [];
  assert.equal(named, {
    peers: [{ dns: true }, { pods: { namespaces: ['shop'], selector: {} } }],
    ports: [{ protocol: 'TCP', port: 'http' }],
  });
  assert.equal(numbered, [
    {
      peers: [block('10.200.1.2/32'), block('100.65.9.9/32')],
      ports: [{ protocol: 'TCP', port: '8080' }],
    },
    { peers: [block('10.200.1.7/32')], ports: [{ protocol: 'TCP', port: '9090' }] },
  ]);
});

test('rules for all or no peers keep their meaning, and peers beyond the limit are left out', () => {
  assert.equal(carried({ policyTypes: ['Ingress'], ingress: [{}] }).spec.ingress, [{}]);
  assert.equal(carried({ policyTypes: ['Ingress'], ingress: [{ from: [] }] }).spec.ingress, [{}]);
  assert.equal(carried({ policyTypes: ['Ingress'] }).spec, {
    podSelector: {},
    policyTypes: ['Ingress'],
    ingress: [],
  });
  const many = Array.from({ length: 3000 }, (_, index) =>
    pod('shop', `p${index}`, `10.244.${index >> 8}.${index & 255}`),
  );
  const rule = { from: [{ podSelector: {} }] };
  const record = carried({ policyTypes: ['Ingress'], ingress: Array.from({ length: 6 }, () => rule) }, many);
  assert.equal(
    record.spec.ingress?.map(({ peers }) => peers?.length),
    [mostPeers, mostPeers, mostPeers, mostPeers, 0, 0],
  );
});

test('ranges are translated to the provider’s', () => {
  const table: [
    what: string,
    cidr: string,
    except: string[],
    ingress: object[],
    caches: object | undefined,
  ][] = [
    ['own pods', '10.244.0.0/16', [], [block('10.200.0.0/16')], undefined],
    [
      'some of them',
      '10.244.1.0/24',
      ['10.244.1.4/32'],
      [block('10.200.1.0/24', ['10.200.1.4/32'])],
      undefined,
    ],
    ['none of them', '10.244.1.0/24', ['10.244.0.0/16'], [], undefined],
    ['pods at the provider', '10.128.0.0/16', [], [{ pods: { selector: {} } }], undefined],
    ['a part of those', '10.128.1.0/24', [], [], undefined],
    ['those but for a part', '10.128.0.0/16', ['10.128.1.0/24'], [], undefined],
    ['own Services', '10.96.0.10/32', [], [], undefined],
    ['an outside address', '203.0.113.0/24', [], [], block('203.0.113.0/24')],
    [
      'the world',
      '0.0.0.0/0',
      ['203.0.113.0/24'],
      [block('10.200.0.0/16'), block('100.65.0.0/20'), { pods: { selector: {} } }],
      block('0.0.0.0/0', [
        '10.128.0.0/16',
        '10.129.0.0/16',
        '10.244.0.0/16',
        '10.96.0.0/16',
        '100.65.0.0/20',
        '100.66.0.0/20',
        '192.0.2.0/24',
        '203.0.113.0/24',
      ]),
    ],
    ['no range', '10.244.0.1/16', [], [], undefined],
  ];
  for (const [what, cidr, except, ingress, caches] of table) {
    assert.equal(blocksThere({ cidr, except }, 'ingress', ranges), ingress, what);
    assert.equal(
      blocksThere({ cidr, except }, 'egress', ranges),
      [...ingress, ...(caches === undefined ? [] : [caches])],
      what,
    );
  }
});

test('a range of a third cluster becomes individual pod addresses', () => {
  const ingress = [{ from: [{ ipBlock: { cidr: '10.129.0.0/16' } }] }];
  assert.equal(carried({ policyTypes: ['Ingress'], ingress }).spec.ingress, [
    { peers: [block('100.65.9.9/32')] },
  ]);
  ingress[0]!.from[0]!.ipBlock = { cidr: '10.129.0.0/16', except: ['10.129.1.0/24'] } as never;
  assert.equal(carried({ policyTypes: ['Ingress'], ingress }).spec.ingress, [{ peers: [] }]);
});

test.run();
