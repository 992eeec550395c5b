/** What peering/ decides, as tables and as a property: two clusters that exchange documents come to rest. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { newClusterID } from '../../../daemon/peering/cluster-key.ts';
import { composeDocument, holdsOurs } from '../../../daemon/peering/compose-document.ts';
import { certificateNeed, gatewayHosts } from '../../../daemon/peering/gateway-certificate.ts';
import {
  apiServerAddressesOf,
  apiServerHosts,
  apiServerURLOf,
  KnownNames,
} from '../../../daemon/peering/api-server.ts';
import { gatewayURLOf, endpointsOf } from '../../../daemon/peering/local-cluster.ts';
import {
  identityFinding,
  identityNeed,
  outgoingFindings,
  phasesOf,
  storedIdentity,
} from '../../../daemon/peering/outgoing-plan.ts';
import {
  detectRanges,
  externalRange,
  flagValues,
  inconsistencies,
  yamlValues,
  type Observed,
} from '../../../daemon/peering/ranges.ts';
import { anyContains, readRanges } from '../../../shared/net/cidr.ts';
import { tidy } from '../../../shared/net/coarse-ranges.ts';
import { systemClock } from '../../../shared/time.ts';
import { newerDocument } from '../../../daemon/peering/remote-clusters.ts';
import { removalStep } from '../../../daemon/peering/removal.ts';
import { evaluateToken, keptMilliseconds } from '../../../daemon/tenant/tokens.ts';
import type { Tunnel } from '../../../shared/api/network.ts';
import type { OutgoingPeering, PeeringToken } from '../../../shared/api/peerings.ts';
import { clusterID } from '../../../shared/api/meta.ts';
import {
  contentGeneration,
  networkDocument,
  type NetworkDocument,
} from '../../../shared/wire/network-document.ts';
import { signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import { issueSelfSignedCertificate } from '../../../shared/trust/self-signed-certificate.ts';
import { keyOf } from '../../shared/trust/keys.ts';

const ranges = suite('ranges of this cluster');
const node = (name: string, podCIDRs: string[], address: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels },
  spec: { podCIDRs },
  status: {
    addresses: [
      { type: 'InternalIP', address },
      { type: 'Hostname', address: name },
    ],
  },
});
const observed = (more: Partial<Observed> = {}): Observed => ({
  nodes: [node('a', ['10.244.0.0/24'], '192.168.1.10'), node('b', ['10.244.1.0/24'], '192.168.1.11')],
  serviceCIDRs: [
    { apiVersion: 'v1', kind: 'ServiceCIDR', metadata: { name: 'k' }, spec: { cidrs: ['10.96.0.0/12'] } },
  ],
  kubeadm: undefined,
  kubeProxy: undefined,
  controlPlane: [],
  ...more,
});
const flags = (...command: string[]) => [
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'kcm' },
    spec: { containers: [{ name: 'c', command }] },
  },
];
const podTable: [string, Parameters<typeof detectRanges>, string[], boolean][] = [
  ['said', [{ podCIDRs: ['10.1.0.0/16'] }, observed(), undefined], ['10.1.0.0/16'], false],
  [
    'kubeadm',
    [{}, observed({ kubeadm: 'networking:\n  podSubnet: 10.2.0.0/16,fd00:2::/56\n' }), undefined],
    ['10.2.0.0/16', 'fd00:2::/56'],
    false,
  ],
  [
    'a flag',
    [
      {},
      observed({ controlPlane: flags('kube-controller-manager', '--cluster-cidr=10.3.0.0/16') }),
      undefined,
    ],
    ['10.3.0.0/16'],
    false,
  ],
  [
    'a flag with a space',
    [{}, observed({ controlPlane: flags('x', '--cluster-cidr', '10.3.0.0/16') }), undefined],
    ['10.3.0.0/16'],
    false,
  ],
  [
    'kube-proxy',
    [{}, observed({ kubeProxy: 'bindAddress: 0.0.0.0\nclusterCIDR: "10.4.0.0/16"\n' }), undefined],
    ['10.4.0.0/16'],
    false,
  ],
  [
    'an empty flag counts as none',
    [{}, observed({ kubeProxy: 'clusterCIDR: ""\n' }), undefined],
    ['10.244.0.0/16'],
    true,
  ],
  ['the nodes', [{}, observed(), undefined], ['10.244.0.0/16'], true],
  [
    'the nodes, where the wider range would meet one',
    [{}, observed({ nodes: [node('a', ['192.168.7.0/24'], '192.168.1.10')] }), undefined],
    ['192.168.7.0/24'],
    true,
  ],
  ['what was declared stays', [{}, observed(), { podCIDRs: ['10.244.0.0/14'] }], ['10.244.0.0/14'], true],
  [
    'what was declared and does not fit goes',
    [{}, observed(), { podCIDRs: ['10.9.0.0/16'] }],
    ['10.244.0.0/16'],
    true,
  ],
  [
    'a virtual node’s don’t count',
    [
      {},
      observed({ nodes: [node('v', ['10.8.0.0/24'], '10.0.0.1', { 'hawser.dev/virtual-node': 'true' })] }),
      undefined,
    ],
    [],
    true,
  ],
  [
    'kubeadm’s range, in which no pod is, gives way to the ranges of the nodes',
    [
      {},
      observed({ kubeadm: '  podSubnet: 10.250.0.0/16\n', podAddresses: ['10.244.0.9', '10.244.1.3'] }),
      undefined,
    ],
    ['10.244.0.0/16'],
    true,
  ],
  [
    'neither kubeadm’s range nor those of the nodes hold a pod: the pods’ addresses decide',
    [
      {},
      observed({ kubeadm: '  podSubnet: 10.250.0.0/16\n', podAddresses: ['10.0.3.7', '10.0.9.1'] }),
      undefined,
    ],
    ['10.0.0.0/16'],
    true,
  ],
  [
    'one pod in kubeadm’s range confirms it',
    [
      {},
      observed({ kubeadm: '  podSubnet: 10.2.0.0/16\n', podAddresses: ['10.2.0.9', '10.0.9.1'] }),
      undefined,
    ],
    ['10.2.0.0/16'],
    false,
  ],
  [
    'what the owner said is taken, whatever pods have',
    [{ podCIDRs: ['10.1.0.0/16'] }, observed({ podAddresses: ['10.0.3.7'] }), undefined],
    ['10.1.0.0/16'],
    false,
  ],
];
for (const [what, input, podCIDRs, guessed] of podTable) {
  ranges(`pods: ${what}`, () => {
    const found = detectRanges(...input);
    assert.equal(found.podCIDRs, podCIDRs);
    assert.is(found.guessed, guessed);
  });
}
ranges('pods outside of the ranges are listed', () => {
  const found = detectRanges(
    { podCIDRs: ['10.1.0.0/16'] },
    observed({ podAddresses: ['10.1.0.2', '10.0.3.7'] }),
    undefined,
  );
  assert.equal(found.podsOutside, ['10.0.3.7']);
});
ranges('Services and nodes', () => {
  const found = detectRanges({}, observed(), undefined);
  assert.equal(found.serviceCIDRs, ['10.96.0.0/12']);
  assert.equal(found.nodeCIDRs, ['192.168.1.0/24']);
  const old = observed({
    serviceCIDRs: [],
    controlPlane: flags('a', '--service-cluster-ip-range=10.5.0.0/16'),
  });
  assert.equal(detectRanges({}, old, undefined).serviceCIDRs, ['10.5.0.0/16']);
});
ranges('small tools', () => {
  assert.equal(tidy(['10.0.0.0/8', '10.1.0.0/16', 'nonsense', ' 10.0.0.0/8']), ['10.0.0.0/8']);
  assert.equal(yamlValues('server: https://x:6443 # here', 'server'), ['https://x:6443 ']);
  assert.equal(flagValues([], '--x'), []);
});
ranges('the external range is kept while nothing meets it', () => {
  const found = detectRanges({}, observed(), undefined);
  const chosen = externalRange({}, undefined, 'a-1', found);
  assert.match(chosen, /^100\..*\/20$/);
  assert.is(externalRange({}, chosen, 'another', found), chosen);
  assert.is.not(externalRange({ reservedCIDRs: [chosen] }, chosen, 'a-1', found), chosen);
  assert.is(externalRange({ externalCIDR: '10.50.0.0/20' }, chosen, 'a-1', found), '10.50.0.0/20');
});
ranges('contradictions are named', () => {
  const found = { ...detectRanges({}, observed(), undefined), serviceCIDRs: ['10.244.128.0/20'] };
  assert.equal(inconsistencies(found, '100.64.0.0/20'), [
    '10.244.0.0/16 (pods) overlaps 10.244.128.0/20 (Services)',
  ]);
});
ranges.run();

const self = suite('LocalCluster');
const service = (name: string, ingress: object[], more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, ...more },
  spec: { ports: [{ port: 7443, protocol: 'TCP' }] },
  status: { loadBalancer: { ingress } },
});
self('IDs are DNS labels', () => {
  for (const name of [
    undefined,
    'production',
    'a-very-long-name-of-a-cluster-that-is-cut-somewhere',
    'ends-with-',
  ]) {
    const id = newClusterID(name, (length) => new Uint8Array(length).fill(255));
    assert.ok(clusterID.safeParse(id).success, id);
    assert.match(id, /-777777$/);
  }
});
self('the gateway is where its load balancer is, or where a person says', () => {
  assert.is(gatewayURLOf({}, service('g', [{ ip: '198.18.0.5' }])), 'https://198.18.0.5:7443');
  assert.is(gatewayURLOf({}, service('g', [{ ip: 'fd00::5' }])), 'https://[fd00::5]:7443');
  assert.is(gatewayURLOf({}, service('g', [{ hostname: 'lb.example.com' }])), 'https://lb.example.com:7443');
  assert.is(gatewayURLOf({}, service('g', [])), undefined);
  assert.is(gatewayURLOf({ gatewayURL: 'https://x' }, undefined), 'https://x');
});
self('tunnel endpoints have a key and, if there is one, an address', () => {
  const annotated = { annotations: { 'hawser.dev/public-key': 'K' } };
  const one = service('hawser-tunnel-one', [{ ip: '1.2.3.4' }], annotated);
  one.spec.ports = [{ port: 7470, protocol: 'UDP' }];
  assert.equal(endpointsOf({}, [one, service('hawser-tunnel-two', [])]), [
    { name: 'one', publicKey: 'K', addresses: ['1.2.3.4:7470'] },
  ]);
  assert.equal(endpointsOf({ tunnelAddresses: ['vpn.example.com:1'] }, [one])[0]?.addresses, [
    'vpn.example.com:1',
  ]);
});
self(
  'addresses of the API server: behind its Service, in its URLs, and behind the names in them',
  async () => {
    const info = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'cluster-info' },
      data: { kubeconfig: 'clusters:\n- cluster:\n    server: https://internal.example:6443\n' },
    };
    const hosts = apiServerHosts('https://[2001:db8::9]:6443', info, 'https://10.96.0.1:443');
    assert.equal(hosts, ['2001:db8::9', 'internal.example', '10.96.0.1']);
    assert.equal(apiServerHosts(undefined, undefined, 'nonsense'), []);
    let answer: Record<string, string[]> = { 'internal.example': ['192.0.2.7', '192.0.2.8'] };
    const names = new KnownNames({
      clock: systemClock,
      resolve: (name) =>
        answer[name] === undefined
          ? Promise.reject(new Error('no such name'))
          : Promise.resolve(answer[name]),
    });
    const { signal } = new AbortController();
    const behind = { endpoints: [{ addresses: ['10.0.0.1'] }] };
    const expected = ['10.0.0.1', '10.96.0.1', '192.0.2.7', '192.0.2.8', '2001:db8::9'];
    assert.equal(apiServerAddressesOf(hosts, behind, await names.lookUp(hosts, signal)), expected);
    answer = {};
    assert.equal(
      await names.lookUp(hosts, signal),
      ['192.0.2.7', '192.0.2.8'],
      'DNS that fails takes nothing away',
    );
    assert.equal(await names.lookUp([], signal), []);
    assert.equal(await names.lookUp(hosts, signal), [], 'what is not asked for any more is forgotten');
  },
);
self('no node is left out, however many blocks they lie in', () => {
  const nodes = Array.from({ length: 300 }, (_, index) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `n${index}` },
    status: { addresses: [{ type: 'InternalIP', address: `172.${16 + (index % 16)}.${index % 250}.9` }] },
  }));
  const { nodeCIDRs } = detectRanges({}, observed({ nodes }), undefined);
  assert.ok(nodeCIDRs.length <= 64);
  const wide = readRanges(nodeCIDRs);
  for (const { status } of nodes) assert.ok(anyContains(wide, status.addresses[0]?.address ?? ''));
});
self('the API server is where the cluster says', () => {
  const info = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'cluster-info' },
    data: { kubeconfig: 'clusters:\n- cluster:\n    server: https://api.example.com:6443\n' },
  };
  const slice = {
    apiVersion: 'v1',
    kind: 'EndpointSlice',
    metadata: { name: 'kubernetes' },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.1'] }],
    ports: [{ name: 'https', port: 6443 }],
  };
  assert.is(apiServerURLOf({}, info, slice).url, 'https://api.example.com:6443');
  assert.is(apiServerURLOf({}, undefined, slice).url, 'https://10.0.0.1:6443');
  assert.is(apiServerURLOf({ apiServerURL: 'https://x' }, info, slice).url, 'https://x');
  assert.is(apiServerURLOf({}, undefined, undefined).url, undefined);
  const says = (server: string) =>
    apiServerURLOf(
      {},
      { ...info, data: { kubeconfig: `clusters:\n- cluster:\n    server: ${server}\n` } },
      slice,
    ).url;
  assert.is(says('https://192.0.2.1:6443/'), 'https://192.0.2.1:6443');
  assert.is(says('https://rancher.example/k8s/clusters/c-1/'), 'https://rancher.example/k8s/clusters/c-1');
  assert.is(
    says('https://192.0.2.1:6443/?a=b'),
    'https://10.0.0.1:6443',
    'what cannot be stored is not taken',
  );
});
self('the certificate is made anew in time and when names are missing', async () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const hosts = gatewayHosts('hawser-system', ['198.18.0.5'], 'https://gw.example.com:7443');
  const issued = await issueSelfSignedCertificate({ hosts, days: 365, now });
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
    data: { 'tls.crt': base64(issued.certificate), 'tls.key': base64(issued.privateKey) },
  };
  const day = 86_400_000;
  assert.is(certificateNeed(undefined, hosts, now), 'Missing');
  assert.is(certificateNeed(secret, hosts, now), undefined);
  assert.is(certificateNeed(secret, [...hosts, '198.18.0.6'], now), 'OtherHosts');
  assert.is(certificateNeed(secret, [...hosts, 'other.example.com'], now), 'OtherHosts');
  assert.is(certificateNeed(secret, hosts, now + 300 * day), 'Expiring');
  assert.is(
    certificateNeed({ ...secret, data: { ...secret.data, 'tls.crt': base64('x') } }, hosts, now),
    'Unreadable',
  );
  const renewed = await issueSelfSignedCertificate({ hosts, days: 365, now, privateKey: issued.privateKey });
  assert.is(renewed.pin, issued.pin);
});
self.run();

const documents = suite('network documents');
const status = (id: string) => ({
  clusterID: id,
  podCIDRs: ['10.244.0.0/16'],
  externalCIDR: '100.64.16.0/20',
  mtu: 1420,
  tunnelEndpoints: [],
});
const tunnel = (mapped: string): Tunnel =>
  ({
    spec: {
      mtu: 1400,
      remaps: [
        { real: '10.244.0.0/16', mapped, state: 'InUse' },
        { real: 'x', mapped: 'y', state: 'Draining' },
      ],
    },
  }) as unknown as Tunnel;
interface Side {
  id: string;
  own: NetworkDocument | undefined;
  theirs: NetworkDocument | undefined;
  tunnel: Tunnel | undefined;
  composed: number;
}
function step(side: Side, recipient: string, now: number): boolean {
  const result = composeDocument({
    local: status(side.id),
    publicKey: Buffer.alloc(32, 1).toString('base64'),
    recipient,
    previous: side.own,
    remote: side.theirs,
    tunnel: side.tunnel,
    offer: {},
    newSalt: () => Buffer.alloc(32, side.id).toString('base64'),
    now,
  });
  assert.ok('document' in result);
  if (!('document' in result) || !result.changed) return false;
  assert.ok(networkDocument.safeParse(result.document).success);
  assert.ok(result.document.generation > (side.own?.generation ?? 0));
  side.own = result.document;
  side.composed++;
  return true;
}
function settle(a: Side, b: Side, now: number): void {
  for (let round = 0; round < 20; round++) {
    const moved = [step(a, b.id, now), step(b, a.id, now)];
    a.theirs = b.own;
    b.theirs = a.own;
    if (!moved.includes(true)) return;
  }
  throw new Error('they never come to rest');
}
documents('ranges of Services are declared where they are known', () => {
  const declared = (serviceCIDRs: string[] | undefined) => {
    const result = composeDocument({
      local: { ...status('a'), ...(serviceCIDRs && { serviceCIDRs }) },
      publicKey: Buffer.alloc(32, 1).toString('base64'),
      recipient: 'b',
      previous: undefined,
      remote: undefined,
      tunnel: undefined,
      offer: {},
      newSalt: () => Buffer.alloc(32, 1).toString('base64'),
      now: 1000,
    });
    return 'document' in result ? networkDocument.parse(result.document).serviceCIDRs : assert.unreachable();
  };
  assert.is(declared(undefined), undefined);
  assert.is(declared([]), undefined);
  assert.equal(declared(['10.96.0.0/12']), ['10.96.0.0/12']);
});
documents('what was written last counts, though the cache is behind', () => {
  const side: Side = { id: 'a', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  const sign = (now: number) => {
    step(side, 'b', now);
    return signNetworkDocument(side.own!, keyOf(1));
  };
  const first = sign(1000);
  side.tunnel = tunnel('10.128.0.0/16');
  const second = sign(1000);
  assert.is(newerDocument(undefined, undefined), undefined);
  assert.is(newerDocument(first, undefined), first);
  assert.is(newerDocument(undefined, first), first);
  assert.is(newerDocument(first, second), second, 'the cache is behind');
  assert.is(newerDocument(second, first), second, 'somebody else wrote since');
});
documents('two clusters come to rest, each knowing that the other holds its own', () => {
  const a: Side = { id: 'a', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  const b: Side = { id: 'b', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  settle(a, b, 1000);
  const held = () =>
    holdsOurs(a.own!, a.theirs, 0) && holdsOurs(b.own!, b.theirs, 0) && a.composed + b.composed;
  assert.ok(held());
  assert.ok(a.composed <= 3 && b.composed <= 3, `${a.composed} and ${b.composed}`);
  // Tunnels come: a later generation tells the remaps, and they come to rest again.
  a.tunnel = tunnel('10.128.0.0/16');
  b.tunnel = tunnel('10.129.0.0/16');
  settle(a, b, 2000);
  assert.ok(held());
  assert.equal(a.own?.remaps, [{ real: '10.244.0.0/16', mapped: '10.128.0.0/16' }]);
  const before = [a.own?.generation, b.own?.generation, a.composed, b.composed];
  settle(a, b, 9000);
  assert.equal([a.own?.generation, b.own?.generation, a.composed, b.composed], before);
  assert.is(a.own?.salt, Buffer.alloc(32, 'a').toString('base64'));
});
documents('one that lost what it had composed still goes on beyond what the other holds', () => {
  const a: Side = { id: 'a', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  const b: Side = { id: 'b', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  settle(a, b, 100_000_000);
  const highest = a.own?.generation ?? 0;
  a.own = undefined;
  step(a, 'b', 101_000_000);
  assert.ok((a.own as unknown as NetworkDocument).generation > highest);
});
documents('a peer without contentGeneration, or with a wrong one, is taken at its generation', () => {
  const document = { generation: 7 } as NetworkDocument;
  assert.is(contentGeneration(document), 7);
  assert.is(contentGeneration({ ...document, contentGeneration: 9 }), 7);
  assert.is(contentGeneration({ ...document, contentGeneration: 3 }), 3);
});
documents('what is missing is named', () => {
  const base = {
    publicKey: Buffer.alloc(32, 1).toString('base64'),
    recipient: 'b',
    previous: undefined,
    remote: undefined,
    tunnel: undefined,
    offer: {},
    newSalt: () => '',
    now: 0,
  };
  assert.match(
    JSON.stringify(composeDocument({ ...base, local: { ...status('a'), podCIDRs: [] } })),
    /spec\.podCIDRs/,
  );
});
documents(
  'a remote that claims to hold the last generation there is keeps nobody from making another',
  () => {
    const claims = (acknowledges: number) => {
      const theirs = { acknowledges, generation: 1 } as NetworkDocument;
      const side: Side = { id: 'a', own: undefined, theirs, tunnel: undefined, composed: 0 };
      assert.ok(step(side, 'remote', 1_800_000_000_000));
      return side.own?.generation;
    };
    assert.is(claims(Number.MAX_SAFE_INTEGER), 1_800_000_000);
    assert.is(claims(1_900_000_000), 1_900_000_001);
    assert.is(claims(7), 1_800_000_000);
  },
);
documents.run();

const identities = suite('identities of a consumer');
const now = Date.parse('2026-01-01T00:00:00Z');
const hour = 3_600_000;
const response = {
  clusterID: 'p',
  publicKey: 'k',
  tenantNamespace: 't',
  grant: { cpu: '1', memory: '1Gi', pods: 1, podSecurity: 'baseline' as const },
  identity: {
    apiServerURL: 'https://x',
    caBundle: 'c',
    token: 's',
    expiresAt: new Date(now + hour).toISOString(),
  },
  version: '1',
  features: [],
};
const held = storedIdentity(response, now);
identities('renewal is due at two thirds of a life', () => {
  assert.is(held.renewAfter, new Date(now + (hour * 2) / 3).toISOString());
  assert.is(identityNeed(undefined, now), 'Missing');
  assert.is(identityNeed(held, now), undefined);
  assert.is(identityNeed(held, now + (hour * 2) / 3 - 1), undefined);
  assert.is(identityNeed(held, now + (hour * 2) / 3), 'RenewalDue');
  assert.is(identityNeed(held, now + hour - 30_000), 'Expired');
  assert.is(identityNeed({ ...held, expiresAt: 'nonsense' }, now), 'Expired');
});
identities('a failed renewal is said, but is no end while there is time', () => {
  const problem = { reason: 'ProviderUnreachable', message: 'no answer' };
  assert.is(identityFinding('p', { held, problem }, now).status, 'True');
  assert.match(identityFinding('p', { held, problem }, now).message, /not renewed yet: no answer/);
  assert.is(identityFinding('p', { held, problem }, now + hour).status, 'False');
  assert.is(identityFinding('p', { held: undefined, problem }, now).reason, 'ProviderUnreachable');
});
const peering = (more: Partial<OutgoingPeering> = {}): OutgoingPeering => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'OutgoingPeering',
  metadata: { name: 'p', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { remoteCluster: 'p', peering: 'default', nodeName: 'hawser-p', desired: 'Active' },
  ...more,
});
identities('Ready says the first thing that is missing', () => {
  const good = identityFinding('p', { held, problem: undefined }, now);
  const [, , waiting] = outgoingFindings(peering(), good, { done: false, message: 'waiting' });
  assert.is(waiting?.message, 'waiting');
  const [, , noNode] = outgoingFindings(peering(), good, { done: true, message: 'done' });
  assert.is(noNode?.reason, 'WaitingForNode');
  const ready = {
    type: 'NodeReady',
    status: 'True' as const,
    reason: 'R',
    message: 'm',
    lastTransitionTime: '',
  };
  const whole = peering({ status: { conditions: [ready] } });
  const findings = outgoingFindings(whole, good, { done: true, message: 'done' });
  assert.is(findings[2]?.status, 'True');
  assert.equal(
    phasesOf(whole, findings, now).map(({ name }) => name),
    ['Requested', 'IdentityValid', 'Negotiated', 'NodeReady', 'Ready'],
  );
});
identities('a removal waits for the node, but not for ever', () => {
  const going = (finalizers: string[]) =>
    peering({ metadata: { name: 'p', finalizers, deletionTimestamp: '2026-01-01T00:00:00Z' } });
  assert.equal(removalStep(going([]), now), { step: 'None' });
  assert.equal(removalStep(going(['hawser.dev/peering']), now), { step: 'Remove' });
  const both = going(['hawser.dev/peering', 'hawser.dev/vnode']);
  assert.equal(removalStep(both, now), { step: 'WaitForNode', milliseconds: 10_000 });
  assert.equal(removalStep(both, now + 10_000), { step: 'Remove' });
});
identities.run();

const tokens = suite('peering tokens');
const token = (spec: Partial<PeeringToken['spec']>, redeemed = false): PeeringToken => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'PeeringToken',
  metadata: { name: 't' },
  spec: { secretHash: '', expiresAt: new Date(now + hour).toISOString(), grant: response.grant, ...spec },
  ...(redeemed && {
    status: { redeemedBy: { clusterID: 'c', publicKey: 'k', peering: 'default', at: 'then' } },
  }),
});
const tokenTable: [string, PeeringToken, number, string, boolean][] = [
  ['new', token({}), now, 'Redeemable', false],
  ['redeemed', token({}, true), now, 'Redeemed', false],
  ['revoked', token({ revoked: true }), now, 'Revoked', false],
  ['expired', token({}), now + hour, 'Expired', false],
  ['a day after', token({}), now + hour + keptMilliseconds, 'Expired', true],
  ['redeemed, a day after', token({}, true), now + hour + keptMilliseconds, 'Redeemed', true],
];
for (const [what, object, at, reason, sweep] of tokenTable) {
  tokens(what, () => {
    const judged = evaluateToken(object, at);
    assert.is(judged.finding.reason, reason);
    assert.is(judged.finding.status, reason === 'Redeemable' ? 'True' : 'False');
    assert.is(judged.sweep, sweep);
  });
}
tokens.run();
