import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadBalancerRules, planLoadBalancers, staleFlows } from '../loadbalancer/plan.ts';
import type { Listener, LoadBalancerInput, NodeObject, ServiceObject } from '../loadbalancer/plan.ts';

const pool = ['198.18.7.32', '198.18.7.33'];
const machines = new Map([
  ['n1', '172.18.0.11'],
  ['n2', '172.18.0.12'],
]);

function node(name: string, ready = 'True', labels: Record<string, string> = {}): NodeObject {
  return { metadata: { name, labels }, status: { conditions: [{ type: 'Ready', status: ready }] } };
}

function service(name: string, spec: ServiceObject['spec'] = {}, ip?: string): ServiceObject {
  return {
    metadata: {
      namespace: 'default',
      name,
      uid: name,
      creationTimestamp: `2020-01-01T00:00:0${name.length}Z`,
    },
    spec: { type: 'LoadBalancer', ports: [{ port: 80, nodePort: 30080 }], ...spec },
    ...(ip !== undefined && { status: { loadBalancer: { ingress: [{ ip }] } } }),
  };
}

function plan(input: Partial<LoadBalancerInput>) {
  return planLoadBalancers({
    services: [],
    endpointSlices: [],
    nodes: [node('n1'), node('n2')],
    machines,
    pool,
    ...input,
  });
}

const backendsOf = (listener: Listener | undefined) => listener?.backends.map(({ address }) => address);

test('an address is assigned once, kept, and released', () => {
  const first = plan({ services: [service('a')] });
  assert.equal(first.statusChanges, [{ namespace: 'default', name: 'a', address: '198.18.7.32' }]);
  assert.equal(backendsOf(first.listeners[0]), ['172.18.0.11', '172.18.0.12']);
  const kept = plan({ services: [service('a', {}, '198.18.7.33'), service('bb')] });
  assert.equal(kept.statusChanges, [{ namespace: 'default', name: 'bb', address: '198.18.7.32' }]);
  const back = plan({ services: [service('a', { type: 'ClusterIP' }, '198.18.7.33')] });
  assert.equal(back.statusChanges, [{ namespace: 'default', name: 'a', address: undefined }]);
  assert.equal(back.addresses, []);
});

test('of two Services with one address the older keeps it, and without a free one a Service waits', () => {
  const both = plan({
    services: [service('bb', {}, '198.18.7.32'), service('a', {}, '198.18.7.32'), service('ccc')],
  });
  assert.equal(both.statusChanges, [{ namespace: 'default', name: 'bb', address: '198.18.7.33' }]);
  assert.equal(both.waiting, ['default/ccc: no address of the pool is free']);
});

test('a requested address is assigned if it is free', () => {
  const request = plan({ services: [service('a', { loadBalancerIP: '198.18.7.33' }), service('bb')] });
  assert.equal(
    request.statusChanges.map(({ address }) => address),
    ['198.18.7.33', '198.18.7.32'],
  );
});

test('Services of another load balancer class are ignored', () => {
  assert.equal(plan({ services: [service('a', { loadBalancerClass: 'example.com/other' })] }).addresses, []);
});

for (const [what, nodes, expected] of [
  ['an unready node', [node('n1', 'False'), node('n2')], ['172.18.0.12']],
  [
    'an excluded node',
    [node('n1', 'True', { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }), node('n2')],
    ['172.18.0.12'],
  ],
  ['a node without a machine', [node('virtual'), node('n2')], ['172.18.0.12']],
  ['no node at all', [], []],
] as const) {
  test(`backends leave out ${what}`, () => {
    assert.equal(backendsOf(plan({ services: [service('a')], nodes }).listeners[0]), [...expected]);
  });
}

test('policy Local selects nodes with a ready endpoint, otherwise with a serving one', () => {
  const slice = (conditions: object) => [
    {
      metadata: { namespace: 'default', name: 'a-1', labels: { 'kubernetes.io/service-name': 'a' } },
      endpoints: [
        { nodeName: 'n1', conditions: { ready: false, serving: true, terminating: true } },
        { nodeName: 'n2', conditions },
      ],
    },
  ];
  const local = service('a', { externalTrafficPolicy: 'Local' });
  const backends = (conditions: object) =>
    backendsOf(plan({ services: [local], endpointSlices: slice(conditions) }).listeners[0]);
  assert.equal(backends({ ready: true }), ['172.18.0.12']);
  assert.equal(backends({ ready: false }), ['172.18.0.11']);
  assert.equal(backendsOf(plan({ services: [local] }).listeners[0]), []);
});

test('rules replace the table, and choose among backends by hash', () => {
  const rules = loadBalancerRules(
    plan({
      services: [
        service('a', {
          ports: [{ port: 51820, nodePort: 31820, protocol: 'UDP' }],
          loadBalancerSourceRanges: ['198.18.0.0/15'],
        }),
      ],
    }).listeners,
  );
  assert.match(rules, 'delete table ip load-balancer\n');
  assert.match(
    rules,
    'ip saddr { 198.18.0.0/15 } ip daddr 198.18.7.32 udp dport 51820 dnat ip to jhash ip saddr . udp sport mod 2 map { 0 : 172.18.0.11 . 31820, 1 : 172.18.0.12 . 31820 }',
  );
});

test('UDP flows are forgotten when their node is gone, and when they came too early', () => {
  const listener = (...backends: string[]): Listener => ({
    address: '198.18.7.32',
    protocol: 'udp',
    port: 51820,
    backends: backends.map((address) => ({ address, port: 31820 })),
    sourceRanges: [],
  });
  const flow = (replySource: string) => ({ address: '198.18.7.32', port: 51820, replySource });
  assert.equal(staleFlows([], [listener('1')]), [flow('198.18.7.32')]);
  assert.equal(staleFlows([listener('1', '2')], [listener('2')]), [flow('1')]);
  assert.equal(staleFlows([listener('1')], []), [flow('1')]);
  assert.equal(staleFlows([listener('1')], [listener('1')]), []);
});

test.run();
