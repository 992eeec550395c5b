import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { assignNodes } from '../../../daemon/fabric/controller/endpoint-assignment.ts';
import {
  endpointSliceObject,
  endpointServiceObject,
  newEndpointSecret,
} from '../../../daemon/fabric/controller/endpoint-objects.ts';
import { chooseNodeKey, readPresharedKeys } from '../../../daemon/fabric/node-key.ts';
import { generateTunnelKey, readTunnelKey } from '../../../daemon/fabric/tunnel-keys.ts';
import type { Node } from '../../../shared/kube/types.ts';
import type { FabricNode } from '../../../shared/api/network.ts';

const node = (
  name: string,
  {
    ready = true,
    labels = {},
    address = `10.1.1.${name.length}`,
  }: { ready?: boolean; labels?: Record<string, string>; address?: string } = {},
): Node => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, uid: `uid-${name}`, labels },
  status: {
    addresses: address === '' ? [] : [{ type: 'InternalIP', address }],
    conditions: [{ type: 'Ready', status: ready ? 'True' : 'Unknown' }],
  },
});
const gatewayLabel = { labels: { 'hawser.dev/gateway': 'true' } };
const held = (name: string, tunnelEndpoint?: string): FabricNode => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'FabricNode',
  metadata: { name },
  spec: { externalAddress: '100.64.16.40', ...(tunnelEndpoint !== undefined && { tunnelEndpoint }) },
});
const holder = (nodes: Node[], present: FabricNode[] = [], silent: string[] = []) =>
  assignNodes(nodes, present, '100.64.16.0/20', new Set(silent)).find(
    ({ spec }) => spec.tunnelEndpoint === '0',
  )?.name;

test('the tunnel endpoint is assigned to a Ready labelled node, and stays there', () => {
  const table: [string, Node[], FabricNode[], string | undefined][] = [
    ['no node', [], [], undefined],
    ['no node is labelled: any', [node('b'), node('aa')], [], 'aa'],
    ['the labelled one', [node('a'), node('b', gatewayLabel)], [], 'b'],
    ['the holder keeps it', [node('a', gatewayLabel), node('b', gatewayLabel)], [held('b', '0')], 'b'],
    ['a holder without label gives it up', [node('a', gatewayLabel), node('b')], [held('b', '0')], 'a'],
    [
      'a holder that is not ready gives it up',
      [node('a', gatewayLabel), node('b', { ready: false, ...gatewayLabel })],
      [held('b', '0')],
      'a',
    ],
    [
      'but keeps it if no other node is ready',
      [node('a', { ready: false, ...gatewayLabel }), node('b', { ready: false, ...gatewayLabel })],
      [held('b', '0')],
      'b',
    ],
    ['a holder that is gone', [node('a', gatewayLabel)], [held('b', '0')], 'a'],
    [
      'a node without address cannot',
      [node('a', { address: '', ...gatewayLabel }), node('b', gatewayLabel)],
      [],
      'b',
    ],
    ['a virtual node never', [node('a', { labels: { 'hawser.dev/virtual-node': 'true' } })], [], undefined],
    ['nor one that runs no Linux', [node('a', { labels: { 'kubernetes.io/os': 'windows' } })], [], undefined],
  ];
  for (const [name, nodes, present, expected] of table) assert.is(holder(nodes, present), expected, name);
});

test('a silent node loses its tunnel endpoint only to an eligible node', () => {
  const [a, b] = [node('a', gatewayLabel), node('b', gatewayLabel)];
  const gone = node('a', { ready: false, ...gatewayLabel });
  const table: [string, Node[], string[], string | undefined][] = [
    ['another one takes over', [a, b], ['b'], 'a'],
    ['no other node is labelled', [node('a'), b], ['b'], 'b'],
    ['the other one is not Ready', [gone, b], ['b'], 'b'],
    ['both are silent', [a, b], ['a', 'b'], 'b'],
    ['the other one was silent', [a, b], ['a'], 'b'],
  ];
  for (const [name, nodes, silent, expected] of table)
    assert.is(holder(nodes, [held('b', '0')], silent), expected, name);
});

test('every real node has an address and keeps it', () => {
  const assigned = assignNodes(
    [node('a'), node('b'), node('v', { labels: { 'hawser.dev/virtual-node': 'true' } })],
    [held('b')],
    '100.64.16.0/20',
  );
  assert.equal(
    assigned.map(({ name, spec }) => [name, spec.externalAddress]),
    [
      ['a', '100.64.16.16'],
      ['b', '100.64.16.40'],
    ],
  );
  assert.is(assignNodes([node('a')], [], undefined)[0]?.spec.externalAddress, undefined);
});

test('the tunnel endpoint’s Secret, Service and EndpointSlice have their names, labels and ports', () => {
  const secret = newEndpointSecret('hawser-system', '0');
  const { publicKey } = readTunnelKey(secret.stringData?.['privateKey'] ?? '');
  assert.is(secret.metadata.annotations?.['hawser.dev/public-key'], publicKey);
  const service = endpointServiceObject('hawser-system', '0', publicKey, undefined);
  assert.is(service.spec?.type, 'LoadBalancer');
  assert.is(service.spec?.selector, undefined);
  const nodePort = endpointServiceObject('hawser-system', '0', publicKey, {
    ...service,
    spec: { type: 'NodePort' },
  });
  assert.is(nodePort.spec?.type, 'NodePort');
  const moved = [{ name: 'tunnel', port: 443, targetPort: 7470, protocol: 'UDP' }];
  const kept = endpointServiceObject('hawser-system', '0', publicKey, { ...service, spec: { ports: moved } });
  assert.equal(kept.spec?.ports, moved, 'the port that a person chose stays');
  assert.equal(
    endpointSliceObject('hawser-system', '0', { node: 'a', address: 'fd00::1' }).addressType,
    'IPv6',
  );
  assert.equal(endpointSliceObject('hawser-system', '0', undefined).endpoints, []);
});

test('a node takes a tunnel endpoint over once its caches have synced, and releases it at once', () => {
  const own = generateTunnelKey();
  const endpointSecret = newEndpointSecret('hawser-system', '0');
  const text = endpointSecret.stringData?.['privateKey'] ?? '';
  const secret = { ...endpointSecret, data: { privateKey: Buffer.from(text).toString('base64') } };
  const nothing = { key: own };
  assert.equal(chooseNodeKey(own, nothing, undefined, secret, true), nothing);
  assert.is(chooseNodeKey(own, nothing, '0', secret, false).tunnelEndpoint, undefined);
  assert.ok(chooseNodeKey(own, nothing, '0', secret, false).waiting);
  const holding = chooseNodeKey(own, nothing, '0', secret, true);
  assert.is(holding.tunnelEndpoint, '0');
  assert.is(holding.key.publicKey, readTunnelKey(text).publicKey);
  assert.is(
    chooseNodeKey(own, holding, '0', secret, false).tunnelEndpoint,
    '0',
    'a restarted watch interrupts nothing',
  );
  assert.is(
    chooseNodeKey(own, holding, '0', undefined, true).tunnelEndpoint,
    '0',
    'nor a Secret that vanished',
  );
  assert.is(chooseNodeKey(own, holding, undefined, secret, true).tunnelEndpoint, undefined);
  assert.is(chooseNodeKey(own, holding, '1', secret, false).tunnelEndpoint, undefined);
  const broken = { ...secret, data: { privateKey: Buffer.from('short').toString('base64') } };
  const refused = chooseNodeKey(own, nothing, '0', broken, true);
  assert.is(refused.tunnelEndpoint, undefined);
  assert.match(refused.waiting ?? '', /32 bytes/);
  assert.not.match(refused.waiting ?? '', /short/);
});

test('malformed pre-shared keys are skipped individually', () => {
  const encode = (text: string) => Buffer.from(text).toString('base64');
  const keys = readPresharedKeys({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'hawser-tunnel-keys' },
    data: { east: encode(Buffer.alloc(32, 1).toString('base64')), west: encode('AAAA'), north: '' },
  });
  assert.equal([...keys.keys()], ['east']);
});

test('key pairs equal those of `wg genkey` and `wg pubkey`', () => {
  const pair = readTunnelKey('WN1UoyXwhAvyC30OqKXplG8MEPp21XlCEGN3X8ahrUI=');
  assert.is(pair.publicKey, 'WyHDubcH9nJBB3R6SwqKFRiEfK5YH4i2u1B6nJ8I5Bk=');
  const made = generateTunnelKey();
  assert.is(readTunnelKey(Buffer.from(made.privateKey).toString('base64')).publicKey, made.publicKey);
  for (const wrong of ['', 'AAAA', 'x'.repeat(44)]) assert.throws(() => readTunnelKey(wrong), /32 bytes/);
});

test.run();
